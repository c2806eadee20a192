"""A run's folder: everything that evaluation, export and `--resume` need, on any machine."""

import dataclasses
import json
import os
from pathlib import Path

from tfxmodal.errors import InputError


def write_atomic(path: Path, text: str):
    """Writes a file so that it is either whole or not there."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class RunFolder:
    """Files of a run: `config.json`, `metrics.json`, checkpoints, vocabulary, figures, `logs/`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, config: dict, resume: bool) -> "RunFolder":
        """Opens a new folder, or with `resume` one whose run had the same configuration.

        Args:
            path: The folder.
            config: The whole configuration, as JSON types.
            resume: Whether to go on with what the folder holds.

        Raises:
            InputError: If the folder holds a run and `resume` is false, or another configuration.
        """
        run = cls(path)
        file = run.path / "config.json"
        config = json.loads(json.dumps(config, default=str))
        if not file.exists():
            if run.path.is_dir() and any(run.path.iterdir()):
                raise InputError(
                    f"--run-dir {path} is not empty and holds no run; name another folder."
                )
            run.path.mkdir(parents=True, exist_ok=True)
            write_atomic(file, json.dumps(config, indent=2) + "\n")
        elif not resume:
            raise InputError(
                f"--run-dir {path} holds a run already; add --resume or name another folder."
            )
        else:
            changed = differences(run.config, config)
            if changed:
                raise InputError(
                    f"--resume found another configuration in {path}: {'; '.join(changed)}; give "
                    "the same flags or name another --run-dir."
                )
        return run

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
            InputError: If the file is not there.
        """
        file = self.path / name
        if not file.is_file():
            raise InputError(f"--run {self.path} has no {name}: it is not the folder of a run.")
        return json.loads(file.read_text(encoding="utf-8"))

    def write_json(self, name: str, content: dict):
        """Writes a JSON file into the run, whole or not at all."""
        write_atomic(self.path / name, json.dumps(content, indent=2) + "\n")


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


def from_dict(config_class, values: dict):
    """A config dataclass from its JSON; fields that it no longer has are an error.

    Raises:
        InputError: If the fields do not fit, as in a run of another version.
    """
    names = {field.name for field in dataclasses.fields(config_class)}
    unknown = sorted(values.keys() - names)
    if unknown:
        raise InputError(
            f"The run's {config_class.__name__} has unknown fields {unknown}: it was made by "
            "another version of tfxmodal; use that one."
        )
    return config_class(**values)
