"""Checks an exported model as a server would run it; ends with status 1 where anything fails.

A SavedModel that this library did not export is told what would fail on a server, too.
Run it in a process of its own: the model is loaded through a session, as TensorFlow Serving does
it, which finds faults that Python's loader overlooks.

Examples:
  python export/verify_savedmodel.py models/coco
  python export/verify_savedmodel.py models/coco/3 models/coco_matrix/3
  python export/verify_savedmodel.py models/coco --run runs/scl-coco
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from tfxmodal.commands import cli
from tfxmodal.errors import InputError
from tfxmodal.serving.examples import examples
from tfxmodal.serving.half_weights import HalfWeights
from tfxmodal.serving.model_config import versions
from tfxmodal.serving.signatures import ServedRun
from tfxmodal.serving.verification.examined import Fault, Version
from tfxmodal.serving.verification.served_checks import check_bad_input, check_loading, check_parity
from tfxmodal.serving.verification.static_checks import (
    check_files,
    check_operations,
    check_signatures,
)
from tfxmodal.training.trained_run import load_run

CHECKS = {
    "files": check_files,
    "operations": check_operations,
    "signatures": check_signatures,
    "loading": check_loading,
}
CHECKS_OF_ANSWERS = {
    "answers": check_parity,
    "bad input": check_bad_input,
}


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Models (MODELS/NAME, whose newest version it is) or versions of them (MODELS/NAME/3)."""

    run: Path | None = None
    """The run that was exported: its answers are computed anew, in place of those that the export
    recorded (a search's apart, which depend on its gallery)."""


def main(argv: list[str] | None = None):
    """Verifies as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    if not flags.folders:
        raise InputError("Name the folder of a model, or of a version of it.")
    if not all([verify(folder, flags.run) for folder in flags.folders]):
        sys.exit(1)


def verify(folder: Path, run: Path | None = None) -> bool:
    """Runs the checks on a version, and prints a table of them.

    Its answers are looked at where all else is right.

    Returns:
        Whether all of them passed.
    """
    version = Version(_version_folder(folder))
    table = Table("check", "", "what was seen", title=str(version.folder))
    passed = True
    for name, check in (CHECKS | CHECKS_OF_ANSWERS).items():
        if name in CHECKS_OF_ANSWERS and not passed:
            break
        try:
            if name == "answers" and run:
                expect_of_run(version, run)
            table.add_row(name, "ok", check(version))
        except Fault as fault:
            table.add_row(name, "FAILED", str(fault))
            passed = False
    Console().print(table)
    return passed


def expect_of_run(version: Version, path: Path):
    """Puts a run's answers in the place of those that were recorded, but for searches."""
    served = ServedRun(load_run(path), version.about["on_bad_input"])
    if version.about["weights"] == "bfloat16":
        HalfWeights(served.models())
    signatures = served.signatures() | served.matrix_signatures()
    kept = {name: each for name, each in signatures.items() if name in version.examples}
    if lost := {name for name in version.examples if not name.startswith("search")} - kept.keys():
        raise Fault(f"--run {path} does not have the signature {sorted(lost)[0]}")
    version.examples.update(examples(served, kept))


def _version_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give MODELS/NAME, or a version of it.")
    if not (folder / "saved_model.pb").exists() and versions(folder):
        return folder / str(max(versions(folder)))
    return folder
