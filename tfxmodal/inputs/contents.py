"""The content of files, remembered: a photo is read and hashed once, not in every run.

Known limit: a file that is replaced by one of the same size and time is taken for the one before.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError, first_line
from tfxmodal.inputs.shards import pack, unpack
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import DIGEST, hash_file, hash_text
from tfxmodal.io.locks import locked

ENTRY = np.dtype(
    [("path", "u1", DIGEST), ("size", "<i8"), ("time", "<i8"), ("content", "u1", DIGEST)]
)
"""A file in the index: the hash of its absolute path, bytes, time in ns, hash of its content."""

THREADS = 4
GONE = -1, -1
"""Size and time of a file that is not there."""

Known = dict[bytes, tuple[int, int, bytes]]
"""Size, time and content by path."""


def content_keys(paths: Sequence[str | Path], index: Path, progress=None) -> list[bytes]:
    """Hashes of files' contents, which name them in a feature cache.

    A file is read where the index does not know its path with its size and time. One that is gone
    has the content that the index remembers, so that features which were computed of it are found;
    one of which nothing is known has a key of its own.

    Args:
        paths: The files.
        index: A file that remembers, made if need be.
        progress: Wraps an iterable, as tqdm does.

    Returns:
        `[n]` keys of 16 bytes.

    Raises:
        InputError: If the index is damaged or cannot be written.
    """
    known = _read(index)
    names = [hash_text(os.path.abspath(path)) for path in paths]
    stamps = [_stamp(path) for path in paths]
    changed = {
        name: (path, stamp)
        for name, path, stamp in zip(names, paths, stamps, strict=True)
        if stamp != GONE and known.get(name, ())[:2] != stamp
    }
    if changed:
        new: Known = {}
        known = {name: known[name] for name in known.keys() - changed.keys()}
        try:
            read = _hashed(changed)
            if progress:
                read = progress(read, total=len(changed), desc="reading")
            new.update(read)
        finally:  # what a killed run has read need not be read again
            _remember(index, new)
        known |= new
    return [known[name][2] if name in known else name for name in names]


def _hashed(files: dict[bytes, tuple]) -> Iterator[tuple[bytes, tuple[int, int, bytes]]]:
    """Reads files in threads; one that cannot be read is left out."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        contents = pool.map(_hash_or_none, [path for path, _ in files.values()])
        for (name, (_, stamp)), content in zip(files.items(), contents, strict=True):
            if content is not None:
                yield name, (*stamp, content)
    finally:
        pool.shutdown(cancel_futures=True)


def _hash_or_none(path: str | Path) -> bytes | None:
    try:
        return hash_file(path)
    except OSError:  # Who reads it as a picture tells why.
        return None


def _stamp(path: str | Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return status.st_size, status.st_mtime_ns


def _read(index: Path) -> Known:
    try:
        entries = np.load(index)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (EOFError, ValueError) as error:
        raise _damaged(index, first_line(error)) from error
    if entries.dtype != ENTRY:
        raise _damaged(index, f"it holds {entries.dtype}")
    columns = (entries[name].tolist() for name in ("size", "time"))
    values = zip(*columns, unpack(entries["content"]), strict=True)
    return dict(zip(unpack(entries["path"]), values, strict=True))


def _remember(index: Path, new: Known) -> None:
    """Adds to the index, also to what another process has added meanwhile."""
    if not new:
        return
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        with locked(index.with_suffix(".lock")):
            known = _read(index) | new
            entries = np.empty(len(known), ENTRY)
            sizes, times, contents = zip(*known.values(), strict=True)
            entries["path"], entries["content"] = pack(list(known)), pack(contents)
            entries["size"], entries["time"] = sizes, times
            with whole_file(index) as file:
                np.save(file, entries)
    except OSError as error:
        raise InputError(
            f"Cannot write {index} ({error}): make room or give another folder."
        ) from error


def _damaged(index: Path, reason: str) -> InputError:
    return InputError(f"{index} is damaged ({reason}): remove it; the files are then read again.")
