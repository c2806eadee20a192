"""Settings found on validation: for each method the same number of trials, by Optuna.

A trial is a training with settings from the method's `search_space`, measured on validation alone.
The settings as they came are among the choices, and are the first trial. All seeds of a row share
what was found; the trials themselves have seed 0.

A trial that fails by its own settings has come to its end: it would fail again. Any other failure,
such as a full disk, is no trial: it ends the tuning, which the next call takes up.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfxmodal.benchmark.cells import FORM, Cell, Source
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import between_trainings, selection_score
from tfxmodal.io.locks import held
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.loop import NonFiniteLoss
from tfxmodal.training.settings import Settings

if TYPE_CHECKING:
    import optuna


def tuned(
    cell: Cell, source: Source, folder: Path, stop_asked: Callable[[], bool]
) -> Settings | None:
    """The settings of a cell that its trials prefer; None where the user asked to stop.

    Where there is nothing to tune they are the preset's, without a trial.

    Args:
        cell: A cell with trials.
        source: Its dataset.
        folder: Where studies are kept, each in a journal; one that is there goes on.
        stop_asked: See `run_experiment`.

    Raises:
        InUse: If another process tunes the same row.
        InputError: If no trial could be trained, or one failed for another reason than its
            settings.
    """
    if not cell.space:
        return _settings(cell.forms, {})

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / f"{cell.study}.lock", f"the tuning of {cell.title}"):
        journal = optuna.storages.journal.JournalFileBackend(str(folder / f"{cell.study}.jsonl"))
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(journal),
            study_name=cell.study,
            direction="maximize",
            load_if_exists=True,
        )
        preset = {name: choices[0] for name, choices in cell.space.items()}
        waiting = (optuna.trial.TrialState.WAITING,)
        while len(ended := _ended(study)) < cell.trials:
            if stop_asked():
                return None
            if not ended and not study.get_trials(states=waiting):
                study.enqueue_trial(preset)
            # Of a seed for each trial, so that a study that goes on draws what it would have drawn.
            study.sampler = optuna.samplers.TPESampler(seed=len(ended))
            trial = study.ask()
            values = {
                name: trial.suggest_categorical(name, all_) for name, all_ in cell.space.items()
            }
            score = _known(ended, values)
            try:
                if score is None:
                    settings = _settings(cell.forms, values)
                    score = _score(settings, source, folder / cell.study, stop_asked)
            except InputError as error:
                if not _by_settings(error, cell):
                    raise
                trial.set_user_attr("reason", str(error))
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                if score is None:
                    return None
                study.tell(trial, score)
    ended = ended[: cell.trials]  # A study may hold more, of an earlier call.
    scored = [trial for trial in ended if trial.value is not None]
    if not scored:
        raise InputError(ended[0].user_attrs["reason"])
    return _settings(cell.forms, max(scored, key=lambda trial: trial.value).params)


def _settings(forms: Mapping[str, Settings], values: Mapping[str, str]) -> Settings:
    given: dict[str, Any] = {name: json.loads(value) for name, value in values.items()}
    form = forms[given.pop(FORM, next(iter(forms)))]
    return form.having(**given)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that have a score or a reason why not."""
    return [each for each in study.trials if each.value is not None or each.user_attrs]


def _known(ended: list[optuna.trial.FrozenTrial], values: Mapping[str, str]) -> float | None:
    """The score of a trial of the same settings: it would be the same again."""
    return next((each.value for each in ended if each.params == values), None)


def _by_settings(error: InputError, cell: Cell) -> bool:
    """Whether a trial failed by what it tried, so that it would fail again."""
    first, *others = (vars(form.config) | vars(form.training) for form in cell.forms.values())
    of_forms = {name for name in first if any(each[name] != first[name] for each in others)}
    tried = of_forms.union(cell.space)
    return isinstance(error, NonFiniteLoss) or not tried.isdisjoint(error.arguments)


def _score(
    settings: Settings, source: Source, folder: Path, stop_asked: Callable[[], bool]
) -> float | None:
    """The validation score of a training; None where it was stopped."""
    try:
        result = run_experiment(
            settings.having(seed=0),
            folder,
            resume=True,
            dataset=source.dataset,
            stop_asked=stop_asked,
            splits=("validation",),
            shared=source.shared,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not result.finished:
        return None
    by = between_trainings(settings.training.select_by)
    return selection_score(result.metrics["validation"], by)
