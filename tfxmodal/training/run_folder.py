"""A run's folder: everything that evaluation, export and resuming need, on any machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from itertools import count, takewhile
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.evaluation.calibration import Calibration, calibrate
from tfxmodal.evaluation.results import SplitResults
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.locks import LOCK, InUse, held
from tfxmodal.io.reading import file_names
from tfxmodal.training.workers import Workers

CONFIG, MODEL, METRICS = "config.json", "model.json", "metrics.json"
CALIBRATION = "calibration.json"
"""From scores to probabilities, by the validation split."""

CARD = "MODEL_CARD.md"
OF_ITS_END = (CARD, METRICS, CALIBRATION)
"""What tells of the end of a training: while it is trained, or measured, they are not there."""

CANDIDATES = "candidates"
"""The folder of the runs between which validation has still to choose."""

CHOICE = "choice.json"
"""In there, the settings of all of them and the time that they share."""

TRIED = "candidates.json"
"""What it chose between."""

EVALUATION = "evaluation"
"""The folder of what was measured after the training, each in a folder of its own."""

PER_QUERY, CURVES = "per_query.npz", "curves.json"
"""What was measured of each query, and its curves."""

FIGURES = "figures"


class RunFolder:
    """Files of a run: `config.json`, `metrics.json`, checkpoints, vocabulary, figures, `logs/`."""

    def __init__(self, path: str | Path, argument: str = "run_dir"):
        self.path = Path(path)
        self._argument = argument  # By which the user names it.

    @property
    def begun(self) -> bool:
        """Whether it holds a run, finished or not."""
        return (self.path / CONFIG).exists() or self.choosing

    @property
    def choosing(self) -> bool:
        """Whether it holds candidates, of which none is the run yet."""
        return (self.path / CANDIDATES).exists() and not (self.path / CONFIG).exists()

    @contextmanager
    def claimed(self, resume: bool, new: bool = False) -> Iterator[RunFolder]:
        """Keeps the folder for this process alone while the block runs.

        The folder is made before the work, so that nobody else takes its name, and removed at the
        end where no run began in it.

        Args:
            resume: Whether to go on with what the folder holds.
            new: Whether the folder must be made here.

        Raises:
            InUse: If another process has it; the message tells which.
            InputError: If the folder holds a run and `resume` is false, or other things, or cannot
                be written.
            FileExistsError: If the folder must be new and is there.
        """
        there = next(each for each in (self.path, *self.path.absolute().parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(
                f"`{self._argument}` {self.path} cannot be written ({there} does not allow it); "
                "name another folder."
            )
        with held(self.path / LOCK, f"`{self._argument}` {self.path}", new):
            if not self.begun and not self.abandoned:
                raise InputError(
                    f"`{self._argument}` {self.path} is not empty and holds no run; name another "
                    "folder."
                )
            if self.begun and not resume:
                raise InputError(
                    f"`{self._argument}` {self.path} holds a run already; add `resume` or name "
                    "another folder."
                )
            yield self

    @property
    def abandoned(self) -> bool:
        """Whether it holds a lock and nothing else: its process did not begin, or was killed."""
        return file_names(self.path) == {LOCK}

    def create(self, config: dict):
        """Makes the folder, where it is not there, with the run's configuration."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(CONFIG, config)

    @property
    def choice(self) -> dict:
        """What `begin_choice` wrote; empty where no choice began, or by an earlier version."""
        began = (self.path / CANDIDATES / CHOICE).exists()
        return self.read_json(f"{CANDIDATES}/{CHOICE}") if began else {}

    def begin_choice(self, candidates: dict[str, dict], minutes: float):
        """Writes what the run is to be chosen from: settings by name, and the time of them all."""
        (self.path / CANDIDATES).mkdir(exist_ok=True)
        choice = {"minutes": minutes, "candidates": candidates}
        self.write_json(f"{CANDIDATES}/{CHOICE}", choice)

    @property
    def config(self) -> dict:
        """The run's configuration.

        Raises:
            InputError: If the folder holds no run.
        """
        return self.read_json(CONFIG)

    def read_json(self, name: str) -> dict:
        """A JSON file of the run.

        Raises:
            InputError: If the file is not there or damaged.
        """
        file = self.path / name
        if not file.is_file():
            raise InputError(
                f"The run {self.path} has no {name}: give the folder of a run that was trained."
            )
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{file} is damaged ({error}): train again.") from error

    def write_calibration(self, validation: SplitResults):
        """Writes from scores to probabilities, where the validation split tells it."""
        if calibration := calibrate(validation):
            self.write_json(CALIBRATION, asdict(calibration))

    @property
    def calibration(self) -> Calibration | None:
        """What `write_calibration` wrote, if it did."""
        if not (self.path / CALIBRATION).exists():
            return None
        return Calibration(**self.read_json(CALIBRATION))

    def write_measured(self, measured: SplitResults):
        """Writes what comparisons with other runs need of the pairs that were measured.

        Figures of what was measured before are removed.
        """
        shutil.rmtree(self.path / FIGURES, ignore_errors=True)
        with whole_file(self.path / PER_QUERY) as file:
            measured.queries.save(file)
        curves = {
            name: {way: np.array(line).tolist() for way, line in of_way.items()}
            for name, of_way in measured.curves.items()
        }
        self.write_json(CURVES, curves)

    def write_figures(self, pngs: dict[str, bytes]):
        """Writes pictures to `figures/NAME.png`."""
        (self.path / FIGURES).mkdir(parents=True, exist_ok=True)
        for name, png in pngs.items():
            with whole_file(self.path / FIGURES / f"{name}.png") as file:
                file.write(png)

    def write_json(self, name: str, content: dict):
        """Writes a JSON file into the run, whole or not at all."""
        with whole_file(self.path / name) as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())


@contextmanager
def claimed_run(given: Path | None, name: str, resume: bool) -> Iterator[RunFolder]:
    """The run's folder, for this process alone while the block runs; see `RunFolder.claimed`.

    Args:
        given: What the user named, or None: then a new one, `runs/NAME`, `runs/NAME-2` and so on.
        name: The stem of the folders under `runs/`.
        resume: Whether to go on with what `given` holds, by default the newest run of that name.
    """
    with ExitStack() as stack:
        if given is not None or resume:
            run = RunFolder(newest_run_dir(name) if given is None else given)
            yield stack.enter_context(run.claimed(resume))
            return
        for number in count(1):
            run = RunFolder(_numbered(name, number))
            if run.path.exists() and not run.abandoned:
                continue
            try:
                stack.enter_context(run.claimed(resume=False, new=not run.path.exists()))
            except (FileExistsError, InUse):
                if not run.path.exists():  # Something in the way is no folder of another process.
                    raise
            else:
                yield run
                return


@contextmanager
def claimed_by_chief(
    workers: Workers, claim: AbstractContextManager[RunFolder], argument: str = "run_dir"
) -> Iterator[RunFolder]:
    """A folder that the chief claims for all workers, and that each of them sees.

    Args:
        workers: Those of the training.
        claim: The chief's claim of the folder.
        argument: By which the user names it.

    Raises:
        InputError: If the claim does, or a worker does not see what the chief wrote there.
    """
    with ExitStack() as stack:
        path = workers.from_chief(lambda: str(stack.enter_context(claim).path))
        run = RunFolder(path, argument)
        workers.check_sees(run.path / LOCK, argument)
        yield run


def newest_run_dir(name: str) -> Path:
    """The last of `runs/NAME`, `runs/NAME-2` and so on that holds a run; else the first."""
    folders = takewhile(Path.exists, (_numbered(name, number) for number in count(1)))
    begun = [folder for folder in folders if RunFolder(folder).begun]
    return begun[-1] if begun else _numbered(name, 1)


def _numbered(name: str, number: int) -> Path:
    return Path("runs") / (name if number == 1 else f"{name}-{number}")
