"""Writing files of which a half never passes for a whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes its name `path` only once all of it is on the disk.

    Until then it is its sibling `NAME.partial`; a failure removes that, a kill leaves it to be
    overwritten by the next attempt.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder that takes its name only once it is whole, and then replaces an older one.

    Until then it is its sibling `NAME.partial`; a failure or a kill leaves that to be overwritten.
    """
    partial, old = (folder.with_name(folder.name + end) for end in (".partial", ".replaced"))
    for stale in (partial, old):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)
