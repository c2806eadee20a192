"""`python export/demo.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, demo

if __name__ == "__main__":
    cli.run(demo.main)
