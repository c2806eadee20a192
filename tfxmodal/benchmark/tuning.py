"""Settings found on validation: for each method the same number of trials, by Optuna.

A trial is a training with settings from the method's `search_space`, measured on validation alone.
The settings as they came are among the choices, and are the first trial. All seeds of a row share
what was found; the trials themselves have seed 0.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfxmodal.benchmark.cells import Cell, Source
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import between_trainings, selection_score
from tfxmodal.io.locks import held
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.settings import Settings

if TYPE_CHECKING:
    import optuna

FORM = "form"
"""The choice among several forms of a preset."""


def tuned(
    cell: Cell, source: Source, folder: Path, stop_asked: Callable[[], bool]
) -> Settings | None:
    """The settings of a cell that its trials prefer; None where the user asked to stop.

    Args:
        cell: A cell with trials.
        source: Its dataset.
        folder: Where studies are kept, each in a journal; one that is there goes on.
        stop_asked: See `run_experiment`.

    Raises:
        InUse: If another process tunes the same row.
        InputError: If no trial could be trained.
    """
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
        space = _space(cell.forms)
        preset = {name: choices[0] for name, choices in space.items()}
        waiting = (optuna.trial.TrialState.WAITING,)
        while len(ended := _ended(study)) < cell.trials:
            if stop_asked():
                return None
            if not ended and not study.get_trials(states=waiting):
                study.enqueue_trial(preset)
            # Of a seed for each trial, so that a study that goes on draws what it would have drawn.
            study.sampler = optuna.samplers.TPESampler(seed=len(ended))
            trial = study.ask()
            values = {name: trial.suggest_categorical(name, all_) for name, all_ in space.items()}
            score = _known(ended, values)
            if score is None:
                score = _score(
                    _settings(cell.forms, values), source, folder / cell.study, stop_asked
                )
            if score is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)  # One that says no reason.
                return None
            if isinstance(score, InputError):
                trial.set_user_attr("reason", str(score))
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, score)
    if all(trial.value is None for trial in ended):
        raise InputError(ended[0].user_attrs["reason"])
    return _settings(cell.forms, study.best_params)


def _space(forms: Mapping[str, Settings]) -> dict[str, list[str]]:
    """The choices of each setting as JSON, that of the first form as it came first."""
    first = next(iter(forms.values()))
    space = {FORM: [json.dumps(name) for name in forms]} if len(forms) > 1 else {}
    for name, values in first.spec.search_space.items():
        part = first.config if hasattr(first.config, name) else first.training
        choices = [json.dumps(value) for value in (getattr(part, name), *values)]
        space[name] = list(dict.fromkeys(choices))
    return space


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


def _score(
    settings: Settings, source: Source, folder: Path, stop_asked: Callable[[], bool]
) -> float | InputError | None:
    """The validation score of a training, or why it failed; None where it was stopped."""
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
    except InputError as error:
        return error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not result.finished:
        return None
    by = between_trainings(settings.training.select_by)
    return selection_score(result.metrics["validation"], by)
