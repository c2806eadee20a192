"""A choice by validation between trainings: the best of several candidates becomes the run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tfxmodal.data.pairs import Dataset
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import selection_score
from tfxmodal.inputs.config import load
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.training.experiment import RunResult, run_experiment
from tfxmodal.training.run_folder import RunFolder, choose_run_dir
from tfxmodal.training.settings import Settings

TRIED = "candidates.json"
FOLDER = "candidates"


@dataclass(frozen=True)
class Tried:
    """A candidate that was trained.

    Attributes:
        name: The candidate's.
        score: Its validation score; None where it could not be trained.
        seconds: How long it took.
        reason: Why it could not be trained.
    """

    name: str
    score: float | None
    seconds: float
    reason: str | None = None


def run_best(
    candidates: Mapping[str, Settings],
    name: str,
    run_dir: Path | None = None,
    minutes: float = 10.0,
    resume: bool = False,
    dataset: Dataset | None = None,
    reporter: Reporter = SILENT,
    stop_asked: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Trains candidates on the same pairs, and keeps the one that validation prefers as the run.

    Only the winner is measured on the test split. What was tried, with its settings, is in
    `candidates.json` of the run's folder; the other candidates' networks are not kept.

    Args:
        candidates: Settings by a name for people, all on one dataset; quick ones first.
        name: Of the run, where its folder is not given: runs/NAME.
        run_dir: The run's folder.
        minutes: Time for the training steps of all candidates together, apart from reading the
            data and validation. Those that come later share what the earlier ones left.
        resume: Go on with the choice in `run_dir`.
        dataset: The pairs, where they are not to be loaded as the settings say.
        reporter: Is told of the progress.
        stop_asked: See `run_experiment`.

    Raises:
        InputError: If the folder cannot be used, or no candidate can be trained.
    """
    run = RunFolder(choose_run_dir(run_dir, name, resume))
    under_way = run.path / FOLDER
    if run.begun or not under_way.exists():
        run.check(resume)
    elif not resume:
        raise InputError(
            f"`run_dir` {run.path} holds a choice between candidates that was not finished; add "
            "`resume` or name another folder."
        )
    first = next(iter(candidates.values()))
    source = load(first.data, reporter.bar) if dataset is None else dataset
    if not run.begun:
        tried = _try_all(candidates, under_way, minutes, source, reporter, stop_asked)
        if tried is None:
            return RunResult(run.path, first, {})
        best = _best(tried)
        reporter.say(f"Validation prefers {best.name} ({best.score:.4f}).")
        run.write_json(TRIED, _record(tried, candidates))
        _promote(under_way / best.name, run.path)
    shutil.rmtree(under_way, ignore_errors=True)
    chosen = Settings.from_json(run.config)
    return run_experiment(chosen, run.path, True, source, reporter, stop_asked)


def _try_all(
    candidates: Mapping[str, Settings],
    folder: Path,
    minutes: float,
    source: Dataset,
    reporter: Reporter,
    stop_asked: Callable[[], bool],
) -> list[Tried] | None:
    """Trains each candidate in a folder of its own; None where the user asked to stop."""
    tried: list[Tried] = []
    for number, (name, settings) in enumerate(candidates.items()):
        left = 60 * minutes - sum(each.seconds for each in tried)
        share = max(left, 1.0) / 60 / (len(candidates) - number)
        if hasattr(settings.training, "minutes"):
            settings = replace(settings, training=replace(settings.training, minutes=share))
        reporter.say(f"Candidate {number + 1} of {len(candidates)}: {name}")
        start = time.perf_counter()
        try:
            result = run_experiment(
                settings, folder / name, True, source, reporter, stop_asked, ("validation",)
            )
        except InputError as error:
            tried.append(Tried(name, None, time.perf_counter() - start, str(error)))
            continue
        if not result.finished:
            return None
        metrics = result.metrics
        score = selection_score(metrics["validation"], settings.training.select_by)
        tried.append(Tried(name, score, metrics["seconds"]))
    return tried


def _best(tried: list[Tried]) -> Tried:
    """The first of those with the highest score.

    Raises:
        InputError: If none has one.
    """
    scored = [each for each in tried if each.score is not None]
    if not scored:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in tried)
        raise InputError(f"None of the candidates can be trained ({reasons}).")
    return max(scored, key=lambda each: each.score)


def _record(tried: list[Tried], candidates: Mapping[str, Settings]) -> dict:
    """What `candidates.json` holds, the best first."""
    ranked = sorted(tried, key=lambda each: (each.score is None, -(each.score or 0)))
    return {
        "candidates": [
            asdict(each) | {"settings": candidates[each.name].to_json()} for each in ranked
        ]
    }


def _promote(winner: Path, run: Path) -> None:
    """Moves a candidate's files into the run's folder, its configuration last."""
    files = sorted(winner.iterdir(), key=lambda each: each.name == "config.json")
    for file in files:
        os.replace(file, run / file.name)
