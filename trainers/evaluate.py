"""`python trainers/evaluate.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, evaluate

if __name__ == "__main__":
    cli.run(evaluate.main)
