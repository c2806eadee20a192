"""Locks between processes, which end with the process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Holds the lock of a path while the block runs; one process at a time has it.

    Args:
        path: A folder that is there, or a file, which is made if need be and stays.
        wait: Whether to wait for a process that has the lock.

    Raises:
        BlockingIOError: If another process has the lock and `wait` is false.
        OSError: If the file cannot be made.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
