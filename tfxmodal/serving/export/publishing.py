"""Versions of models that a server sees whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfxmodal.io.locks import LOCK, held
from tfxmodal.serving.model_config import versions

HIDDEN = ".export-"
"""How the names of unfinished versions start; a server reads folders named by a number alone."""


@contextlib.contextmanager
def publish(models: Iterable[Path]) -> Iterator[list[Path]]:
    """Hidden folders to write the next version of models into, all of one number.

    When the block ends, each is renamed to that number. If it fails they are removed; if the
    process is killed, the next export removes them.

    Args:
        models: The models' folders, which need not be there.

    Yields:
        An empty folder for each.

    Raises:
        InUse: If another export to one of them is running; the message tells which.
    """
    models = list(models)
    with contextlib.ExitStack() as locks:
        for model in models:
            locks.enter_context(held(model / LOCK, f"`to` {model}"))
            for left in model.glob(f"{HIDDEN}*"):
                shutil.rmtree(left)
        version = max((number for model in models for number in versions(model)), default=0) + 1
        hidden = [model / f"{HIDDEN}{version}" for model in models]
        try:
            for folder in hidden:
                folder.mkdir()
            yield hidden
            os.sync()  # What is renamed must be on the disk.
            for folder in hidden:
                folder.rename(version_of(folder))
        finally:
            for folder in hidden:
                shutil.rmtree(folder, ignore_errors=True)


def version_of(hidden: Path) -> Path:
    """Where a folder that `publish` yields lies when it is published."""
    return hidden.with_name(hidden.name.removeprefix(HIDDEN))
