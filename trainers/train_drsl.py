"""Trains DRSL: `python trainers/train_drsl.py --dataset coco`; --help tells all flags."""

from functools import partial

from tfxmodal.commands import cli, train

if __name__ == "__main__":
    cli.run(partial(train.main, method="drsl"))
