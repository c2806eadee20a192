"""`python trainers/extract_features.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, extract_features

if __name__ == "__main__":
    cli.run(extract_features.main)
