"""`python trainers/benchmark.py --help` tells what it does and its flags."""

from tfxmodal.commands import benchmark, cli

if __name__ == "__main__":
    cli.run(benchmark.main)
