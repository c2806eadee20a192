"""A run's folder: everything that evaluation, export and resuming need, on any machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file

CONFIG, MODEL, METRICS = "config.json", "model.json", "metrics.json"


class RunFolder:
    """Files of a run: `config.json`, `metrics.json`, checkpoints, vocabulary, figures, `logs/`."""

    def __init__(self, path: str | Path, argument: str = "run_dir"):
        self.path = Path(path)
        self._argument = argument  # By which the user names it.

    @property
    def begun(self) -> bool:
        """Whether it holds a run, finished or not."""
        return (self.path / CONFIG).exists()

    def check(self, resume: bool):
        """Checks that a training may use the folder, without writing to it.

        Args:
            resume: Whether to go on with what the folder holds.

        Raises:
            InputError: If the folder holds a run and `resume` is false, or other things, or cannot
                be written.
        """
        if not self.begun and self.path.is_dir() and any(self.path.iterdir()):
            raise InputError(
                f"`{self._argument}` {self.path} is not empty and holds no run; name another "
                "folder."
            )
        if self.begun and not resume:
            raise InputError(
                f"`{self._argument}` {self.path} holds a run already; add `resume` or name another "
                "folder."
            )
        there = next(each for each in (self.path, *self.path.absolute().parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(
                f"`{self._argument}` {self.path} cannot be written ({there} does not allow it); "
                "name another folder."
            )

    def create(self, config: dict):
        """Makes the folder, where it is not there, with the run's configuration."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(CONFIG, config)

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

    def write_figures(self, pngs: dict[str, bytes]):
        """Writes pictures to `figures/NAME.png`."""
        (self.path / "figures").mkdir(parents=True, exist_ok=True)
        for name, png in pngs.items():
            (self.path / "figures" / f"{name}.png").write_bytes(png)

    def write_json(self, name: str, content: dict):
        """Writes a JSON file into the run, whole or not at all."""
        with whole_file(self.path / name) as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())


def choose_run_dir(given: Path | None, name: str, resume: bool) -> Path:
    """The run's folder: the one given, else `runs/NAME`, `runs/NAME-2` and so on.

    Args:
        given: What the user named, or None.
        name: The stem of the folders under `runs/`.
        resume: Whether to take the newest that is there, or the first that is not.
    """
    if given is not None:
        return given
    taken = 0
    while _numbered(name, taken + 1).exists():
        taken += 1
    return _numbered(name, max(taken, 1) if resume else taken + 1)


def _numbered(name: str, number: int) -> Path:
    return Path("runs") / (name if number == 1 else f"{name}-{number}")
