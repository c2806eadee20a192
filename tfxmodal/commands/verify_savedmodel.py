"""Checks an exported model as a server would run it; ends with status 1 where anything fails.

A SavedModel that this library did not export is told what would fail on a server, too.
Run it in a process of its own: the model is loaded through a session, as TensorFlow Serving does
it, which finds faults that Python's loader overlooks.

Examples:
  python export/verify_savedmodel.py models/coco
  python export/verify_savedmodel.py models/coco/3 models/coco_matrix/3
  python export/verify_savedmodel.py models/coco --run runs/scl-coco
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from tfxmodal.commands import cli
from tfxmodal.errors import InputError

if TYPE_CHECKING:
    from tfxmodal.serving.verification.verify import Report


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Models (MODELS/NAME, whose newest version it is) or versions of them (MODELS/NAME/3)."""

    run: Path | None = None
    """The run that was exported: its answers are computed again, in place of those that the export
    recorded (a search's apart, which depend on its gallery)."""

    image_weights: str | None = None
    """Weights of the run's image encoder, by default as in training; for a file that has moved."""


def main(argv: list[str] | None = None):
    """Verifies as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    if not flags.folders:
        raise InputError("Name the folder of a model, or of a version of it.")
    if flags.image_weights and flags.run is None:
        raise InputError("--image-weights are of a run: give --run as well.")
    from tfxmodal.serving.verification.verify import verify
    from tfxmodal.training.trained_run import load_run

    run = None if flags.run is None else load_run(flags.run)
    if run and flags.image_weights:
        run = replace(run, settings=run.settings.having(image_weights=flags.image_weights))
    passed = []
    for folder in flags.folders:
        report = verify(folder, run)
        print_report(report)
        passed.append(report.passed)
    if not all(passed):
        sys.exit(1)


def print_report(report: Report):
    """Prints a version's checks as a table."""
    from rich.markup import escape
    from rich.table import Table

    from tfxmodal.commands.terminal import show

    table = Table("check", "", "what was seen", title=escape(str(report.folder)))
    for result in report.results:
        table.add_row(result.check, "ok" if result.passed else "FAILED", escape(result.seen))
    show(table)
