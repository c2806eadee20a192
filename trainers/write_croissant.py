"""`python trainers/write_croissant.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, write_croissant

if __name__ == "__main__":
    cli.run(write_croissant.main)
