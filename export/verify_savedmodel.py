"""`python export/verify_savedmodel.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, verify_savedmodel

if __name__ == "__main__":
    cli.run(verify_savedmodel.main)
