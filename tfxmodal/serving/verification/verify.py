"""The checks of a version, one after another, in this process or in a fresh one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.serving.export.examples import distance, examples
from tfxmodal.serving.export.signatures import ServedRun
from tfxmodal.serving.model_config import versions
from tfxmodal.serving.verification.examined import Fault, Version
from tfxmodal.serving.verification.served_checks import check_bad_input, check_loading, check_parity
from tfxmodal.serving.verification.static_checks import (
    check_files,
    check_operations,
    check_signatures,
)
from tfxmodal.training.trained_run import TrainedRun

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
"""What is looked at where all else is right."""


@dataclass(frozen=True)
class Result:
    """What a check saw: its name, whether it passed, and what a person is to read of it."""

    check: str
    passed: bool
    seen: str


@dataclass(frozen=True)
class Report:
    """The results of a version's checks."""

    folder: Path
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether a server may have the version."""
        return all(result.passed for result in self.results)


def verify(folder: Path, run: TrainedRun | None = None) -> Report:
    """Checks a version of a model as a server would run it.

    Loading finds all faults only in a process that did not make the version: see `verify_afresh`.

    Args:
        folder: MODELS/NAME, whose newest version it is, or MODELS/NAME/VERSION.
        run: The run that was exported: its answers are computed again, in place of those that the
            export recorded (a search's apart, which depend on its gallery). Where the export has
            rounded the weights, so are they here, and the report tells how far that is off.

    Raises:
        InputError: If there is no such folder.
    """
    version = Version(_version_folder(folder))
    results = [_result(name, check, version) for name, check in CHECKS.items()]
    if all(result.passed for result in results):
        for name, check in CHECKS_OF_ANSWERS.items():
            if run and name == "answers":
                results.append(_result(name, lambda version: _check_run(version, run), version))
            else:
                results.append(_result(name, check, version))
            if not results[-1].passed:
                break
    return Report(version.folder, tuple(results))


def verify_afresh(folders: Sequence[Path]) -> list[Report]:
    """Checks versions in a process of its own, as a server loads them.

    Raises:
        InputError: If a folder is missing, or the process ends without a report.
    """
    command = [sys.executable, "-P", "-m", "tfxmodal.serving.verification", *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # The same tfxmodal.
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise InputError(
            f"The verification of {', '.join(map(str, folders))} ended with status "
            f"{done.returncode} and no report: see what it wrote."
        )
    reports = json.loads(done.stdout.splitlines()[-1])
    return [
        Report(Path(each["folder"]), tuple(Result(**result) for result in each["results"]))
        for each in reports
    ]


def as_json(reports: Sequence[Report]) -> str:
    """Reports in one line, for the process that asked for them."""
    return json.dumps([asdict(report) for report in reports], default=str)


def _result(name: str, check, version: Version) -> Result:
    try:
        return Result(name, True, check(version))
    except Fault as fault:
        return Result(name, False, str(fault))


def _check_run(version: Version, run: TrainedRun) -> str:
    """Like `check_parity`, with the answers of a run, but for searches."""
    weights = version.about["weights"]
    answers = _answers(version, run, weights)
    names = {name for name in version.examples if not name.startswith("search")}
    if lost := names - answers.keys():
        raise Fault(f"the run {run.folder.path} does not have the signature {sorted(lost)[0]}")
    for name, (inputs, outputs) in answers.items():
        there = version.signatures[name].outputs  # Earlier exports do not tell unknown words.
        wanted = {key: rows for key, rows in outputs.items() if key in there}
        version.examples[name] = inputs, wanted
    seen = check_parity(version)
    if weights == "float32":
        return seen
    off = max(
        distance(rows, outputs[key])
        for name, (_, outputs) in _answers(version, run, "float32").items()
        for key, rows in answers[name][1].items()
        if rows.dtype.kind == "f"
    )
    return f"{seen}; with its weights of {weights} it is {off:.1e} off the run"


def _answers(version: Version, run: TrainedRun, weights: str) -> dict[str, tuple]:
    """The `examples` of a run with these weights, of those signatures that the version has."""
    served = ServedRun(run, version.about["on_bad_input"], weights=weights)
    offered = served.signatures() | served.matrix_signatures()
    return examples(served, {n: each for n, each in offered.items() if n in version.examples})


def _version_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give MODELS/NAME, or a version of it.")
    if not (folder / "saved_model.pb").exists() and versions(folder):
        return folder / str(max(versions(folder)))
    return folder
