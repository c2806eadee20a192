"""A run's folder: everything that evaluation, export and `--resume` need, on any machine."""

import dataclasses
import json
from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file


class RunFolder:
    """Files of a run: `config.json`, `metrics.json`, checkpoints, vocabulary, figures, `logs/`."""

    def __init__(self, path: str | Path, flag: str = "--run-dir"):
        self.path = Path(path)
        self._flag = flag  # By which the user names it.

    def check(self, config: dict, resume: bool):
        """Checks that a training may use the folder, without writing to it.

        Args:
            config: The whole configuration.
            resume: Whether to go on with what the folder holds.

        Raises:
            InputError: If the folder holds a run and `resume` is false, another configuration, or
                other things.
        """
        if not (self.path / "config.json").exists():
            if self.path.is_dir() and any(self.path.iterdir()):
                raise InputError(
                    f"{self._flag} {self.path} is not empty and holds no run; name another folder."
                )
        elif not resume:
            raise InputError(
                f"{self._flag} {self.path} holds a run already; add --resume or name another "
                "folder."
            )
        elif changed := differences(self.config, _plain(config)):
            raise InputError(
                f"--resume found another configuration in {self.path}: {'; '.join(changed)}; give "
                f"the same flags or name another {self._flag}."
            )

    def create(self, config: dict):
        """Makes the folder, where it is not there, with the run's configuration."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json("config.json", _plain(config))

    @property
    def config(self) -> dict:
        """The run's configuration.

        Raises:
            InputError: If the folder holds no run.
        """
        return self.read_json("config.json")

    def read_json(self, name: str) -> dict:
        """A JSON file of the run.

        Raises:
            InputError: If the file is not there or damaged.
        """
        file = self.path / name
        if not file.is_file():
            raise InputError(
                f"--run {self.path} has no {name}: give the folder of a run that was trained."
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


def _plain(config: dict) -> dict:
    """A configuration as JSON gives it back."""
    return json.loads(json.dumps(config, default=str))


def choose_run_dir(given: Path | None, name: str, resume: bool) -> Path:
    """The run's folder: the one given, else `runs/NAME`, `runs/NAME-2` and so on.

    Args:
        given: What the user named, or None.
        name: The stem of the folders under `runs/`.
        resume: Whether to take the newest that is there, or the first that is not.
    """
    if given:
        return given
    taken = 0
    while _numbered(name, taken + 1).exists():
        taken += 1
    return _numbered(name, max(taken, 1) if resume else taken + 1)


def _numbered(name: str, number: int) -> Path:
    return Path("runs") / (name if number == 1 else f"{name}-{number}")


def differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """Fields in which two configurations differ, as `name: old -> new`."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name}: {a} -> {b}")
    return found


RENAMED = {"image_tower": "image_encoder"}
"""Fields of runs of earlier versions, and what they are called now."""


def from_dict(config_class, values: dict):
    """A config dataclass from its JSON; fields that it no longer has are an error.

    Raises:
        InputError: If the fields do not fit, as in a run of another version.
    """
    names = {field.name for field in dataclasses.fields(config_class)}
    values = {RENAMED.get(name, name): value for name, value in values.items()}
    unknown = sorted(values.keys() - names)
    if unknown:
        raise InputError(
            f"The run's {config_class.__name__} has unknown fields {unknown}: it was made by "
            "another version of tfxmodal; use that one."
        )
    # JSON has lists for tuples, and a frozen config must stay what it was.
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return config_class(**values | tuples)
