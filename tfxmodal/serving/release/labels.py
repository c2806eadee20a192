"""The versions and version labels of one model in a models.config."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format

from tfxmodal.errors import InputError, choose
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.reading import read_text
from tfxmodal.serving.model_config import parsed


class ModelLabels:
    """Reads, changes and writes a models.config; the models beside this one stay as they are.

    Attributes:
        model: The model's name.
        config: The whole configuration.
        text: The file's text when it was read.
    """

    def __init__(self, path: Path, model: str, text: str, models: Path | None = None):
        """From the file's text; see `read`."""
        self._path, self.model, self.text, self._models = path, model, text, models
        self.config = parsed(text, path)
        models = {each.name: each for each in self.config.model_config_list.config}
        choose(f"model in {path}", model, models)
        self._entry = models[model]

    @classmethod
    def read(cls, path: Path, model: str, models: Path | None = None) -> ModelLabels:
        """Reads a models.config.

        Args:
            path: The file.
            model: The model's name in it.
            models: The folder that holds NAME/VERSION here; by default what the file says.

        Raises:
            InputError: If it cannot be read, or does not have the model.
        """
        return cls(path, model, read_text(path), models)

    @property
    def current(self) -> dict[str, int]:
        """Version by label."""
        return dict(self._entry.version_labels)

    @property
    def versions(self) -> set[int]:
        """The versions that the policy names; none where it leaves them to the server."""
        return set(self._entry.model_version_policy.specific.versions)

    def require_named_versions(self):
        """Checks that the policy names the versions that a server loads, as a release does.

        Raises:
            InputError: If the server chooses them, as it does without a policy.
        """
        if not self._entry.model_version_policy.HasField("specific"):
            raise InputError(
                f"{self._path} leaves it to the server which versions of {self.model} it loads: "
                "name those that it serves, as in model_version_policy { specific { versions: 1 } "
                "}, and start it with that."
            )

    def load(self, versions: Iterable[int]):
        """Adds versions to those that a server loads."""
        self._set_versions(self.versions.union(versions))

    def move(self, labels: dict[str, int]):
        """Sets the labels; versions without one are no longer loaded."""
        self._entry.version_labels.clear()
        self._entry.version_labels.update(labels)
        self._set_versions(labels.values())

    def _set_versions(self, versions: Iterable[int]):
        self._entry.model_version_policy.specific.versions[:] = sorted(set(versions))

    def require_folder(self, version: int):
        """Checks that a version was exported, where this machine can see it.

        Raises:
            InputError: If its folder on a disk is missing.
        """
        base = str(self._models / self.model) if self._models else self._entry.base_path
        folder = f"{base}/{version}"
        # What is in a bucket the servers tell: a version that they do not load is taken back.
        if "://" not in folder and not os.path.isdir(folder):
            raise InputError(
                f"There is no version {version} of {self.model} ({folder}): export it, or give "
                "the folder that holds the models here as `models`."
            )

    def write(self):
        """Writes the file as a whole; of its comments those at its head stay."""
        head = re.match(r"(#.*\n?)*", self.text)[0]
        self._write(head + text_format.MessageToString(self.config))

    def restored(self) -> ModelLabels:
        """Writes the file as it was read, and returns what it says."""
        self._write(self.text)
        return ModelLabels(self._path, self.model, self.text, self._models)

    def _write(self, text: str):
        with whole_file(self._path) as file:
            file.write(text.encode())
