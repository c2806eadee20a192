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
from tfxmodal.evaluation.protocol import between_trainings, selection_score
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.spec import RAW
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.training.config import FitConfig
from tfxmodal.training.experiment import RunResult, run_claimed, run_experiment
from tfxmodal.training.presets import recommended_forms
from tfxmodal.training.run_folder import (
    CANDIDATES,
    CONFIG,
    OF_ITS_END,
    TRIED,
    RunFolder,
    claimed_by_chief,
    claimed_run,
)
from tfxmodal.training.settings import CannotGoOn, Settings, check_continuing
from tfxmodal.training.workers import Workers, begin

Candidates = Mapping[str, Settings]
"""Settings of trainings on one dataset, by a name for people."""


@dataclass(frozen=True)
class Tried:
    """A candidate that was trained.

    Attributes:
        name: The candidate's.
        score: Its validation score; None where it could not be trained.
        seconds: How long its steps or its fit took; where it failed, all that was done.
        settings: As in `config.json`.
        reason: Why it could not be trained.
    """

    name: str
    score: float | None
    seconds: float
    settings: dict
    reason: str | None = None


def suited(dataset: Dataset, data: DataConfig, fitting: FitConfig) -> dict[str, Settings]:
    """The methods for `auto` that can learn from a dataset's features, quick ones first.

    Args:
        dataset: The pairs.
        data: How they were loaded.
        fitting: The seed of all, and what selects.

    Returns:
        By name each method, in all forms in which it is recommended.
    """
    found: dict[str, Settings] = {}
    for spec in sorted(METHODS.values(), key=lambda spec: spec.fit is None):
        if not spec.for_auto or not RAW.isdisjoint(spec.inputs(spec.config()).values()):
            continue
        if spec.shared_space(spec.config()) and data.image_encoder != data.text_encoder:
            continue
        try:
            spec.check(dataset.train)
        except InputError:  # It needs labels or pairs that are not there.
            continue
        given = asdict(fitting)
        if spec.learner:  # It has no fit to repeat.
            del given["refit"]
        found |= recommended_forms(spec, data, **given)
    return found


def run_best(
    candidates_for: Callable[[Dataset], Candidates],
    data: DataConfig,
    name: str,
    minutes: float,
    run_dir: Path | None = None,
    resume: bool = False,
    dataset: Dataset | None = None,
    reporter: Reporter = SILENT,
    stop_asked: Callable[[], bool] = lambda: False,
    shared: dict | None = None,
    figures: bool = True,
    workers: Workers | None = None,
) -> RunResult:
    """Trains candidates on the same pairs, and keeps the one that validation prefers as the run.

    Only the winner is measured on the test split. What was tried, with its settings, is in
    `candidates.json` of the run's folder; the other candidates' networks are not kept.

    Args:
        candidates_for: From the dataset to the candidates; quick ones first.
        data: Which pairs.
        name: The run's folder is runs/NAME, runs/NAME-2 and so on, where it is not given.
        minutes: Time for the training steps of all candidates together, apart from reading the
            data, fits in closed form and validation. Those that come later share what the earlier
            ones left; one that fails leaves its whole share. 0: no limit.
        run_dir: The run's folder.
        resume: Go on with the choice in `run_dir`, by default the newest of that name; one that is
            made is measured again.
        dataset: The pairs, where they are not to be loaded as the settings say.
        reporter: Is told of the progress.
        stop_asked: See `run_experiment`.
        shared: See there.
        figures: See there.
        workers: Those of all candidates' trainings.

    Raises:
        InputError: If the folder cannot be used, no candidate can be trained, or the choice was
            begun with other settings or other pairs.
    """
    shared, workers = {} if shared is None else shared, workers or Workers()
    claim = claimed_run(run_dir, name, resume)
    with workers.together(), claimed_by_chief(workers, claim) as run:
        under_way, source = run.path / CANDIDATES, dataset
        if workers.from_chief(lambda: _undecided(run) and not (run.path / TRIED).exists()):
            source = load(data, reporter.bar) if dataset is None else dataset
            candidates = _as_begun(run, candidates_for(source), minutes, workers)
            try:
                tried = _try_all(
                    candidates, under_way, minutes, source, reporter, stop_asked, shared, workers
                )
                if tried is None:
                    return RunResult(run.path, next(iter(candidates.values())), {})
                of_each = [asdict(each) for each in _ranked(tried)]
                ranked = {"minutes": minutes, "candidates": of_each}
            finally:
                if workers.is_chief and not any(map(_has_begun, under_way.iterdir())):
                    shutil.rmtree(under_way)  # A mistake leaves no folder behind.
            workers.from_chief(lambda: run.write_json(TRIED, ranked))

        def decide() -> dict:
            if _undecided(run):
                _promote(under_way / run.read_json(TRIED)["candidates"][0]["name"], run)
            shutil.rmtree(under_way, ignore_errors=True)
            return run.config

        recorded = Settings.from_json(workers.from_chief(decide))
        # The pairs and the encoders may have moved; nothing else of `data` may differ.
        chosen = replace(recorded, data=data.with_trained_encoders()).continuing(recorded)
        source = load(data, reporter.bar) if source is None else source
        if workers.from_chief((run.path / TRIED).exists):  # Else it was trained by itself.
            winner = workers.from_chief(lambda: run.read_json(TRIED))["candidates"][0]["name"]
            if asked := candidates_for(source).get(winner):
                replace(asked, data=chosen.data).continuing(recorded)  # Raises if it is another.
        return run_claimed(
            chosen, run, True, source, reporter, stop_asked, shared=shared, figures=figures
        )


def run_forms(
    forms: Mapping[str, Settings], run_dir: Path | None = None, resume: bool = False, **options
) -> RunResult:
    """Trains the one form that there is, or all, and keeps the one that validation prefers.

    Args:
        forms: Of one method and one dataset; see `forms_of`.
        run_dir: See `run_experiment`.
        resume: See there.
        **options: Other arguments of `run_experiment`: `dataset`, `reporter`, `stop_asked`,
            `shared`, `figures`.

    Raises:
        InputError: If anything the user gave is wrong, or no form can be trained.
    """
    first = next(iter(forms.values()))
    if len(forms) == 1:
        return run_experiment(first, run_dir, resume, **options)

    def checked(source: Dataset) -> Candidates:
        first.spec.check(source.train)
        first.spec.decide(first.config, source.train, first.data)  # Before any is begun.
        return forms

    name, minutes = f"{first.method}-{first.data.dataset}", first.training.minutes
    options["workers"] = begin(first.training, options.get("reporter", SILENT))
    return run_best(checked, first.data, name, minutes, run_dir, resume, **options)


def _as_begun(
    run: RunFolder, candidates: Candidates, minutes: float, workers: Workers
) -> Candidates:
    """Candidates as the choice began with them; what they are is recorded.

    Raises:
        CannotGoOn: If it began with others.
    """
    if begun := workers.from_chief(lambda: run.choice.get("candidates")):
        check_continuing({"candidates": sorted(begun)}, {"candidates": sorted(candidates)})
        candidates = {
            name: candidates[name].continuing(Settings.from_json(each))
            for name, each in begun.items()
        }
    as_json = {name: each.to_json() for name, each in candidates.items()}
    workers.from_chief(lambda: run.begin_choice(as_json, minutes))
    return candidates


def _has_begun(folder: Path) -> bool:
    return RunFolder(folder).begun


def _try_all(
    candidates: Candidates,
    folder: Path,
    minutes: float,
    source: Dataset,
    reporter: Reporter,
    stop_asked: Callable[[], bool],
    shared: dict,
    workers: Workers,
) -> list[Tried] | None:
    """Trains each candidate in a folder of its own; None where the user asked to stop."""
    tried: list[Tried] = []
    spent = 0.0  # Seconds of training steps.
    for number, (name, settings) in enumerate(candidates.items()):
        left = 60 * minutes - spent
        share = max(left, 1e-3) / 60 / (len(candidates) - number) if minutes else 0.0
        if settings.spec.learner:
            settings = replace(settings, training=replace(settings.training, minutes=share))
        reporter.say(f"Candidate {number + 1} of {len(candidates)}: {name}")
        start, as_json = time.perf_counter(), settings.to_json()
        try:
            result = run_experiment(
                settings,
                folder / name,
                True,
                source,
                reporter,
                stop_asked,
                ("validation",),
                shared,
                keep=True,
            )
        except InputError as error:
            # Of several workers it need not be the others' trouble, who would go on waiting.
            if workers.count > 1 or isinstance(error, CannotGoOn):
                raise
            seconds = time.perf_counter() - start
            tried.append(Tried(name, None, seconds, as_json, str(error)))
            reporter.say(f"{name} cannot be trained: {error}")
            continue
        if not result.finished:
            return None
        by = between_trainings(settings.training.select_by)
        score = selection_score(result.metrics["validation"], by)
        seconds = result.metrics["seconds"]
        spent += seconds if settings.spec.learner else 0.0
        tried.append(Tried(name, score, seconds, as_json))
        reporter.say(f"{name}: validation {score:.4f}")
    return tried


def _undecided(run: RunFolder) -> bool:
    """Whether none of the candidates is the run yet."""
    return not run.begun or run.choosing


def _ranked(tried: list[Tried]) -> list[Tried]:
    """The candidates by their scores, the first of equals first.

    Raises:
        InputError: If none has a score.
    """
    if all(each.score is None for each in tried):
        if len({each.reason for each in tried}) == 1:
            raise InputError(tried[0].reason)
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in tried)
        raise InputError(f"None of the candidates can be trained ({reasons}).")
    return sorted(tried, key=lambda each: (each.score is None, -(each.score or 0.0)))


def _promote(winner: Path, run: RunFolder) -> None:
    """Makes the winner the run; its configuration, which tells of a run, comes last."""
    for name in OF_ITS_END:  # They would tell of a run without its test split.
        (winner / name).unlink(missing_ok=True)
    for file in sorted(winner.iterdir(), key=lambda each: each.name == CONFIG):
        os.replace(file, run.path / file.name)
