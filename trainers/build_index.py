"""`python trainers/build_index.py --help` tells what it does and its flags."""

from tfxmodal.commands import build_index, cli

if __name__ == "__main__":
    cli.run(build_index.main)
