"""Writing files of which a half never passes for a whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        with _named_in_errors(path), open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder that takes its name only once it is whole, and then replaces an older one.

    Until then it is its sibling `NAME.partial`; a failure removes that, a kill leaves it to be
    overwritten by the next attempt. Meanwhile the older one is `NAME.replaced` for a moment: who
    reads such a folder calls `recover_folder` first.
    """
    recover_folder(folder)
    folder = folder.resolve()
    partial, old = Path(f"{folder}.partial"), _replaced(folder)
    for stale in (partial, old):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        with _named_in_errors(folder):
            partial.mkdir(parents=True)
            yield partial
        os.sync()
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Gives an older folder its name back, where a kill kept `whole_folder` from replacing it."""
    folder = folder.resolve()
    old = _replaced(folder)
    if old.exists() and not folder.exists():
        os.replace(old, folder)


def sync(path: str | Path) -> None:
    """Brings a file, or the names in a folder, to the disk, where a loss of power leaves them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_changes(folder: str | Path, since: float) -> None:
    """Brings to the disk what was changed in a folder, and in those in it, by whatever library.

    Args:
        folder: The folder.
        since: Seconds since 1970.
    """
    with os.scandir(folder) as entries:  # It is fast where there are ten thousands of files.
        for entry in entries:
            with suppress(FileNotFoundError):  # Another one removed it.
                if entry.is_dir(follow_symlinks=False):
                    sync_changes(entry.path, since)
                elif entry.stat().st_mtime >= since:
                    sync(entry.path)
    if os.stat(folder).st_mtime >= since:
        sync(folder)


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Adds the path to errors of writing, which have none where the file was open before."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        error.filename = error.filename or str(path)
        raise


def _replaced(folder: Path) -> Path:
    return Path(f"{folder}.replaced")
