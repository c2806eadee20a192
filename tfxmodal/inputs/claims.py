"""Claims: which items of a cache a process computes now, so that others compute other ones.

A claim is a file of keys that its process holds locked, so that it ends with the process, however
that ends. Claims are made and read under the cache's lock.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.inputs.shards import pack, unpack

CLAIM = ".claim"

PATIENCE = 600.0
"""Seconds for which a process may hold a claim without a sign of life, before others give up."""


@contextmanager
def claim(folder: Path, keys: Sequence[bytes]) -> Iterator[Callable[[], None]]:
    """Claims items while the block runs.

    Yields:
        A function that gives a sign of life to those who wait: it touches the file.

    Raises:
        OSError: If the file cannot be written, or its file system has no locks.
    """
    process = f"process {os.getpid()} on {socket.gethostname()}"
    path = folder / f"{process} {uuid4().hex[:8]}{CLAIM}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        path.write_bytes(pack(keys).tobytes())
        yield lambda: os.utime(descriptor)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def claimed(folder: Path) -> dict[bytes, Path]:
    """The items that running processes have claimed, each with its claim."""
    found: dict[bytes, Path] = {}
    for path in folder.glob(f"*{CLAIM}"):
        if _ended(path):
            path.unlink(missing_ok=True)
            continue
        with suppress(FileNotFoundError):  # It ended this moment.
            found |= dict.fromkeys(unpack(np.fromfile(path, np.uint8)), path)
    return found


def wait(path: Path, done: Callable[[], int], pause: float = 0.1):
    """Waits until a claim ends.

    Args:
        path: The claim.
        done: A number that changes as its process gets on, beside the time of the claim's file.
        pause: Seconds between two looks.

    Raises:
        InputError: If the process gives no sign of life for `PATIENCE`.
    """
    before, since = None, time.monotonic()
    while not _ended(path):
        with suppress(FileNotFoundError):  # It ended this moment.
            if (now := (done(), path.stat().st_mtime_ns)) != before:
                before, since = now, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            process = path.name.rpartition(" ")[0]
            raise InputError(
                f"{path.parent} waits for features that {process} has begun to compute, and it got "
                f"on with none for {PATIENCE:.0f} seconds: end that process, and give the command "
                "again."
            )
        time.sleep(pause)


def _ended(path: Path) -> bool:
    """Whether the process of a claim is done with it, or gone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
