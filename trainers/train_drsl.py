"""`python trainers/train_drsl.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, train_drsl

if __name__ == "__main__":
    cli.run(train_drsl.main)
