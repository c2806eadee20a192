"""Turns the images and texts of a dataset into features, and keeps them for training.

Training does the same where the cache lacks features; this command does it beforehand, and can
write them as a folder for other programs. A command that is stopped goes on, when it is repeated,
where it was. Give the same flags as to the training.

Examples:
  python trainers/extract_features.py --dataset coco --data-dir COCO --image-tower vgg19
  python trainers/extract_features.py --dataset flickr8k --data-dir FLICKR8K --export features/f8k
  python trainers/train_scl.py --dataset features --data-dir features/f8k
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal, show
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.io.locks import held, lock_beside

if TYPE_CHECKING:
    from tfxmodal.inputs.prepare import Prepared


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    data: DataConfig = field(default_factory=DataConfig)

    export: Path | None = None
    """A new folder for the features as train_img.npy, train_txt.npy, train_lab.npy and so on, which
    `--dataset features` reads."""


def defaults(dataset: str | None) -> Flags:
    """The defaults of a dataset."""
    return Flags(DataConfig.for_dataset(dataset or "emoji_scenes"))


def main(argv: list[str] | None = None):
    """Extracts as the command line says."""
    flags = cli.parse(Flags, __doc__, argv, defaults)
    if flags.data.label_noise:
        raise InputError(
            f"--label-noise {flags.data.label_noise:g} changes labels, not features: leave it out, "
            "and give it to the training."
        )

    from tfxmodal.data.datasets import features as feature_folder
    from tfxmodal.inputs.prepare import prepare
    from tfxmodal.inputs.unread import check_given
    from tfxmodal.methods.spec import GLOBAL

    with ExitStack() as stack:
        if flags.export is not None:  # Now, not after hours of work.
            stack.enter_context(held(lock_beside(flags.export), f"`export` {flags.export}"))
            feature_folder.check_free(flags.export)
        config, reporter = flags.data.with_trained_encoders(), Terminal()
        source = load(config, reporter.bar)
        check_given(source, config, GLOBAL)
        prepared = prepare(source, config, GLOBAL, reporter=reporter)
        print_summary(prepared)
        if flags.export is not None:
            feature_folder.save(prepared.features, flags.export, reporter.bar)
            print(f"Exported. Train on it: --dataset features --data-dir {flags.export}")


def print_summary(prepared: Prepared):
    """A table of each split's features: how many, how wide, how many were bad, where.

    An image that several captions share counts once.
    """
    table = Table("", "", "rows", "width", "bad")
    table.add_column("folder", overflow="fold")
    encoders = {"images": prepared.image_encoder, "texts": prepared.text_encoder}
    for split, pairs in prepared.features.splits():
        for kind, rows in (("images", pairs.images), ("texts", pairs.texts)):
            if encoders[kind]:
                rows = getattr(rows, "features", rows)  # Those that are repeated for captions.
            bad = len(getattr(rows, "bad", ()))
            folder = "came as features"
            if encoders[kind]:  # Of captions' features only the means may be in memory.
                folder = getattr(rows, "folder", "means of captions, not kept")
            table.add_row(split, kind, *(f"{n:,}" for n in (*rows.shape, bad)), str(folder))
            split = ""
    show(table)
