"""Trains the methods that suit the pairs, and keeps the one that validation prefers.

Methods in closed form come first, then the forms in which the others are recommended; those share
the time. Only the winner is measured on the test split. It is an ordinary run: it can be evaluated,
exported and served. What was tried is in candidates.json of its folder.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.inputs.config import DataConfig
from tfxmodal.training.config import FitConfig
from tfxmodal.training.run_folder import TRIED, RunFolder, newest_run_dir
from tfxmodal.training.settings import Settings, begun_settings

EXAMPLES = """
Examples:
  python trainers/train.py auto
  python trainers/train.py auto --dataset pairs --data-dir my/pairs.jsonl --minutes 5
"""

LOOKED_AT = {
    "dataset": {"default": "emoji_scenes"},
    "run_dir": {"type": Path},
    "resume": {"action": "store_true"},
}
"""The flags that the defaults of a training follow from, see `cli.look`."""


@dataclass(frozen=True)
class Flags:
    """Which pairs, and how long."""

    data: DataConfig = field(default_factory=DataConfig)

    training: FitConfig = field(default_factory=FitConfig)

    run_dir: Path | None = None
    """Folder of the run; by default a new one, runs/auto-DATASET, runs/auto-DATASET-2 and so on."""

    resume: bool = False
    """Go on with the choice in --run-dir, by default the newest of this dataset, with its own
    settings; one that is made goes on as the run of its winner."""

    minutes: float = 10.0
    """Time for the training steps of all candidates together; reading the data, fits in closed form
    and validation come on top."""

    def __post_init__(self):
        check_ranges(self, minutes="[0, inf)")


def main(words: list[str]):
    """Chooses among all methods."""
    run = _going_on(words)
    begun = begun_settings(run) if run else {}
    flags = cli.parse(
        Flags, f"{__doc__}{EXAMPLES}", words, lambda dataset: _defaults(dataset, run, begun)
    )
    candidates = {name: _changed(each, flags) for name, each in begun.items()}

    from tfxmodal.commands.tables import print_run, print_tried
    from tfxmodal.training.candidates import run_best, suited
    from tfxmodal.training.experiment import run_experiment
    from tfxmodal.training.interrupts import stop_signals

    with stop_signals() as stop_asked:
        told = {"reporter": Terminal(), "stop_asked": stop_asked}
        if begun and not run.choosing:
            (winner,) = candidates.values()
            if winner.spec.learner:
                winner = winner.having(minutes=flags.minutes)
            result = run_experiment(winner, run.path, True, **told)
        else:
            result = run_best(
                lambda dataset: candidates or suited(dataset, flags.data, flags.training),
                flags.data,
                f"auto-{flags.data.dataset}",
                flags.minutes,
                flags.run_dir,
                flags.resume,
                **told,
            )
    if result.finished:
        print_tried(result)
    print_run(result, stop_asked())


def _going_on(words: list[str]) -> RunFolder | None:
    """The folder of the choice that is to go on.

    Raises:
        InputError: If it holds a run that was not chosen.
    """
    given = cli.look(words, **LOOKED_AT)
    if not given.resume:
        return None
    run = RunFolder(given.run_dir or newest_run_dir(f"auto-{given.dataset}"))
    if run.begun and not run.choosing and not (run.path / TRIED).exists():
        method = run.config["method"]
        raise InputError(
            f"--run-dir {run.path} holds a run of {method} that auto did not choose: go on with "
            f"{method} in the place of auto."
        )
    return run


def _defaults(dataset: str | None, run: RunFolder | None, begun: dict[str, Settings]) -> Flags:
    """The flags' defaults: those of the dataset, or what the run began with that goes on."""
    if not begun:
        return Flags(DataConfig.for_dataset(dataset or "emoji_scenes"))
    first = next(iter(begun.values()))
    fitting = FitConfig(
        first.training.seed,
        first.training.select_by,
        any(getattr(each.training, "refit", False) for each in begun.values()),
    )
    minutes = getattr(first.training, "minutes", Flags.minutes)
    if run.choosing:
        minutes = run.choice["minutes"]
    return Flags(first.data, fitting, minutes=minutes)


def _changed(settings: Settings, flags: Flags) -> Settings:
    """Settings that were begun with, as the flags change them."""
    fitting = asdict(flags.training)
    if settings.spec.learner:  # It has no fit to repeat.
        del fitting["refit"]
    return replace(settings, data=flags.data).having(**fitting)
