"""Locks between processes, which end with the process, however that ends."""

import errno
import fcntl
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from tfxmodal.errors import InputError

LOCK = ".lock"
"""The lock file in a folder that one process writes for a long time."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What `flock` raises on file systems that have none, such as some network file systems."""

TRIES = 100
"""Times that a folder is made which others remove meanwhile."""

T = TypeVar("T")


class InUse(InputError):
    """Another process holds a lock."""


@contextmanager
def locked(path: Path, seconds: float = math.inf) -> Iterator[None]:
    """Waits for the lock of a path, and holds it while the block runs.

    Args:
        path: A folder that is there, or a file, which is made if need be and stays.
        seconds: How long it waits.

    Raises:
        InUse: If it waited so long.
        OSError: If the file cannot be made or its file system has no locks.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o666)
    try:
        if seconds == math.inf:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _wait_for(descriptor, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(lock: Path, what: str, new: bool = False) -> Iterator[None]:
    """Holds a lock file for the whole of a work, and lets no second process begin with it.

    The file tells the process, its machine and since when. It is removed at the end, and so are its
    folders, where they were made for it and nothing else came into them. What a killed process left
    is no obstacle.

    A file system may have no locks. The work then goes on, with a warning.

    Args:
        lock: The lock file.
        what: The argument and its value, as the user knows them: what must not be used twice.
        new: Whether the lock's folder must be made here.

    Raises:
        InUse: If another process holds it; the message tells which.
        FileExistsError: If the folder must be new and is there.
        OSError: If the file cannot be made.
    """
    made = list(takewhile(lambda folder: not folder.exists(), lock.parents))
    if new:
        _made(lambda: _new_folder(lock.parent))
    try:
        descriptor = _locked_descriptor(lock, what)
        try:
            about = f"{_process(os.getpid())}since {_now()}"
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, about.encode(), 0)
            yield
        finally:
            lock.unlink(missing_ok=True)  # Before it is given up: then it may be another's.
            os.close(descriptor)
    finally:
        with suppress(OSError):  # They hold what was written.
            for folder in made:
                folder.rmdir()


def held_by(lock: Path, pid: int) -> bool:
    """Whether a process of this machine holds a lock file, or held it when it was killed.

    Args:
        lock: The lock file of `held`.
        pid: The number of the process.
    """
    with suppress(FileNotFoundError):
        return lock.read_text(errors="replace").startswith(_process(pid))
    return False


def _process(pid: int) -> str:
    """What a lock file begins with."""
    return f"process {pid} on {socket.gethostname()}, "


def _wait_for(descriptor: int, path: Path, end: float):
    """Tries to lock until it is done, or time is up."""
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.monotonic() >= end:
            raise InUse(f"{path} is held by another process: try again later.")
        time.sleep(0.01)


def lock_beside(path: Path) -> Path:
    """The lock file of a file, or of a folder that is replaced as a whole."""
    path = path.resolve()
    return path.with_name(f".{path.name}{LOCK}")


def _made(make: Callable[[], T]) -> T:
    """What `make` makes, folders among it, which others that are done with them may remove."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError, FileExistsError):  # The latter where it is gone again.
            return make()
    return make()


def _new_folder(folder: Path):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()


def _locked_descriptor(lock: Path, what: str) -> int:
    """The open lock file, locked."""

    def opened() -> int:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)

    while True:
        descriptor = _made(opened)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise InUse(
                f"{what} is in use by {holder}: wait until it ends, or name another."
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(descriptor)
                raise
            logging.getLogger(__name__).warning(
                "The file system of %s has no locks (%s): see to it that no other process uses %s "
                "meanwhile.",
                lock.parent,
                error.strerror,
                what,
            )
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        os.close(descriptor)  # It was given up and removed between opening and locking.


def _now() -> str:
    return datetime.now().astimezone().isoformat(" ", "seconds")
