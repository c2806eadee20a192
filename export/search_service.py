"""`python export/search_service.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, search_service

if __name__ == "__main__":
    cli.run(search_service.main)
