"""Measures a trained run: metrics, curves, t-SNE and retrieved items of a split.

The pairs are the run's own, or another dataset's: its images and texts then pass through the run's
image encoder and text encoder, and relevance counts within that dataset, so that its classes may be
others. Everything is printed, and written to RUN/evaluation/NAME/.

Examples:
  python trainers/evaluate.py --run runs/scl-emoji_scenes --baseline pls random
  python trainers/evaluate.py --run runs/scl-coco --split validation
  python trainers/evaluate.py --run runs/scl-coco --dataset pascal_sentences --data-dir PASCAL
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tfxmodal.commands import cli
from tfxmodal.commands.run_data import Handling
from tfxmodal.commands.terminal import Terminal
from tfxmodal.inputs.config import HANDLING, PLACE, DataConfig
from tfxmodal.methods import METHODS

BASELINES = [name for name, spec in METHODS.items() if spec.fit]


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/scl-coco."""

    dataset: str | None = None
    """Another dataset to measure the run on (SCL paper, table IV); by default the run's own."""

    data_dir: Path | None = None
    """Folder of that dataset, by default data/DATASET; without --dataset, the place where the run's
    own dataset is now."""

    dataset_options: tuple[str, ...] | None = None
    """Options of that dataset, as in `--dataset-options year=2017`; without --dataset, by default
    the run's."""

    download: bool | None = None
    """Fetch COCO from its official host into the folder (20.4 GB), or go on with it."""

    split: Literal["test", "validation"] = "test"
    """The pairs to measure."""

    baseline: tuple[Literal[*BASELINES], ...] = ()
    """Methods to compare with, fitted on the training split of the run's own dataset: pls and
    ridge_cca (linear maps), semantic_matching (logistic regression in each modality, on the
    labels), zero_shot (the encoders' shared space as it is), random (scores without meaning)."""

    handling: Handling = field(default_factory=Handling)

    name: str | None = None
    """Folder of the results under RUN/evaluation/; by default DATASET-SPLIT, and of pairs that are
    not the run's own DATASET-SPLIT-HASH."""


def main(argv: list[str] | None = None):
    """Evaluates as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)

    from tfxmodal.commands.tables import print_table
    from tfxmodal.training.run_evaluation import evaluate_run
    from tfxmodal.training.trained_run import load_run

    run = load_run(flags.run)
    own, measured = data_configs(run.settings.data, flags)
    done = evaluate_run(
        run, measured, own, flags.split, flags.baseline, flags.name, reporter=Terminal()
    )
    print_table(done.metrics, f"{measured.dataset}, {len(done.source):,} {flags.split} pairs")
    print(f"Metrics and figures: {done.folder.path}")


def data_configs(recorded: DataConfig, flags: Flags) -> tuple[DataConfig, DataConfig]:
    """How to load the pairs that the run learned from, and those to measure.

    Args:
        recorded: How the run loaded its pairs.
        flags: The command line.
    """
    own = recorded.with_given(flags.handling, HANDLING)
    if flags.dataset is None:
        own = own.with_given(flags, PLACE)
        return own, own
    elsewhere = replace(own, data_dir=None, dataset_options=(), download=False)
    return own, replace(elsewhere, dataset=flags.dataset).with_given(flags, PLACE)
