"""`python export/release.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, release

if __name__ == "__main__":
    cli.run(release.main)
