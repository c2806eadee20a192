"""`python export/query.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, query

if __name__ == "__main__":
    cli.run(query.main)
