"""Trains the methods that suit the pairs, and keeps the one that validation prefers.

Methods in closed form come first, then the forms in which the others are recommended; those share
the time. Only the winner is measured on the test split. It is an ordinary run: it can be evaluated,
exported and served. What was tried is in candidates.json of its folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal
from tfxmodal.inputs.config import DataConfig
from tfxmodal.training.config import FitConfig

EXAMPLES = """
Examples:
  python trainers/train.py auto
  python trainers/train.py auto --dataset pairs --data-dir my/pairs.jsonl --minutes 5
"""


@dataclass(frozen=True)
class Flags:
    """Which pairs, and how long."""

    data: DataConfig = field(default_factory=DataConfig)

    training: FitConfig = field(default_factory=FitConfig)

    run_dir: Path | None = None
    """Folder of the run; by default a new one, runs/auto-DATASET, runs/auto-DATASET-2 and so on."""

    resume: bool = False
    """Go on with the choice in --run-dir, by default the newest of this dataset."""

    minutes: float = 10.0
    """Time for the training steps of all candidates together; reading the data, fits in closed form
    and validation come on top."""


def main(words: list[str]):
    """Chooses among all methods."""
    flags = cli.parse(Flags, f"{__doc__}{EXAMPLES}", words, _defaults)

    from tfxmodal.commands.tables import print_run, print_tried
    from tfxmodal.training.candidates import run_best, suited
    from tfxmodal.training.interrupts import stop_signals

    with stop_signals() as stop_asked:
        result = run_best(
            lambda dataset: suited(dataset, flags.data, flags.training),
            flags.data,
            f"auto-{flags.data.dataset}",
            flags.minutes,
            flags.run_dir,
            flags.resume,
            reporter=Terminal(),
            stop_asked=stop_asked,
        )
    if result.finished:
        print_tried(result)
    print_run(result)


def _defaults(dataset: str | None) -> Flags:
    return Flags(DataConfig.for_dataset(dataset or "emoji_scenes"))
