"""`python export/export_savedmodel.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, export_savedmodel

if __name__ == "__main__":
    cli.run(export_savedmodel.main)
