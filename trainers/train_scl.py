"""`python trainers/train_scl.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, train_scl

if __name__ == "__main__":
    cli.run(train_scl.main)
