"""`python trainers/train.py` lists the methods; `... METHOD --help` tells the flags of one."""

from tfxmodal.commands import cli, train

if __name__ == "__main__":
    cli.run(train.main)
