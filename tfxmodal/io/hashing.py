"""Short stable hashes: of values for keys, of files and texts by their content."""

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

DIGEST = 16
"""Bytes of a content's hash: enough that no two contents of a collection ever share one."""
CHUNK = 4096
"""Rows read at a time."""


def fingerprint(*parts) -> str:
    """A short stable hash of strings, numbers, bytes and arrays: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            part = str(part.dtype).encode() + str(part.shape).encode() + part.tobytes()
        elif not isinstance(part, bytes):
            part = repr(part).encode()
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


def hash_text(text: str) -> bytes:
    """The hash of a text, `DIGEST` bytes; half of a surrogate pair is a character like any."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST]


def hash_rows(rows) -> list[bytes]:
    """The hash of each row of features `[n, dim]`, `DIGEST` bytes: alike where rows are equal."""
    hashes: list[bytes] = []
    for start in range(0, len(rows), CHUNK):
        values = np.asarray(rows[start : start + CHUNK], np.float32, order="C") + 0  # -0 equals 0.
        hashes += [hashlib.sha256(row).digest()[:DIGEST] for row in values]
    return hashes


def hash_file(path: str | Path) -> bytes:
    """The hash of a file's content, `DIGEST` bytes.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()[:DIGEST]


def hash_files(folder: Path, suffixes: Collection[str] = ()) -> str:
    """A hash of the names and contents of all files in a folder: 16 hexadecimal digits.

    With `suffixes`, such as `.py`, of the files alone whose names end in one of them.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (not suffixes or path.suffix in suffixes):
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content: 64 hexadecimal digits, as `sha256sum` prints them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
