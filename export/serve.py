"""`python export/serve.py --help` tells what it does and its flags."""

from tfxmodal.commands import cli, serve

if __name__ == "__main__":
    cli.run(serve.main)
