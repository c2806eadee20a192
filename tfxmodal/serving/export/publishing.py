"""Versions of models that a server sees whole or not at all."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfxmodal.errors import InputError
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
        InputError: If another export to one of them is running.
    """
    models = list(models)
    made = [model for model in models if not model.exists()]
    with contextlib.ExitStack() as locks:
        for model in models:
            model.mkdir(parents=True, exist_ok=True)
            locks.enter_context(_locked(model))
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
            for model in made:
                with contextlib.suppress(OSError):  # It holds a version.
                    model.rmdir()


def version_of(hidden: Path) -> Path:
    """Where a folder that `publish` yields lies when it is published."""
    return hidden.with_name(hidden.name.removeprefix(HIDDEN))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock that ends with the process, however that ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"`to` {folder} is being written by another export: wait, or name another folder."
            ) from None
        yield
    finally:
        os.close(descriptor)
