"""`python trainers/train_towers.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, train_towers

if __name__ == "__main__":
    cli.run(train_towers.main)
