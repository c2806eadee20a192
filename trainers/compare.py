"""`python trainers/compare.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, compare

if __name__ == "__main__":
    cli.run(compare.main)
