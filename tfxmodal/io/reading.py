"""Reading what a dataset's folder holds: text, JSON, arrays, and the errors all loaders share."""

import json
import os
import tokenize
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError, first_line, some_of
from tfxmodal.io.matlab import read_mat

DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy, SciPy and h5py raise on files with bytes cut off or changed at random."""


def read_text(path: Path, errors: str = "strict") -> str:
    """A UTF-8 text file.

    Args:
        path: The file.
        errors: `replace` where a few bytes of other encodings are known to occur.

    Raises:
        InputError: If the file cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig", errors)
    except OSError as error:
        raise InputError(
            f"Cannot read {path} ({error.strerror}): correct its path, or that of its folder."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.object[error.start]:#x} at {error.start}): "
            "convert it, or download it again."
        ) from error


def read_lines(path: Path, errors: str = "strict") -> list[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, each with its number, from 1.

    Only a line feed ends a line, with or without a carriage return before it: captions hold the
    other characters at which `str.splitlines` splits (U+0085, U+2028, form feeds).

    Args:
        path: The file.
        errors: See `read_text`.

    Raises:
        InputError: See `read_text`.
    """
    lines = enumerate(read_text(path, errors).split("\n"), start=1)
    return [(number, line.removesuffix("\r")) for number, line in lines if line.strip()]


def read_json(path: Path, keep: Sequence[str] = ()):
    """A JSON file.

    Args:
        path: The file.
        keep: Where given, every object is cut down to these keys as soon as it is parsed, so that
            bulky members, such as the outlines of objects, never pile up in memory.

    Raises:
        InputError: If the file cannot be read or is not JSON.
    """
    hook = (lambda item: {key: item[key] for key in keep if key in item}) if keep else None
    try:
        return json.loads(read_text(path), object_hook=hook)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not whole JSON ({error}): download or write it again."
        ) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file, by name.

    Args:
        path: An `.npy` file (its one array, named like the file, stays on disk, mapped into
            memory), an `.npz`, or a `.mat` of any MATLAB version. Sparse matrices, SciPy's too,
            become dense.

    Raises:
        InputError: If the file is damaged or holds Python objects.
    """
    try:
        if path.suffix == ".npy":
            return {path.stem: np.load(path, mmap_mode="r")}
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                if {"format", "shape", "data"} <= set(arrays):
                    import scipy.sparse

                    return {path.stem: scipy.sparse.load_npz(path).toarray()}
                return dict(arrays)
        return read_mat(path)
    except DAMAGE as error:
        raise InputError(
            f"Cannot read arrays from {path} ({first_line(error)}): write or download it again."
        ) from error


def file_names(folder: Path) -> set[str]:
    """Names of what lies in a folder, in one pass; none where there is no such folder."""
    return set(os.listdir(folder)) if folder.is_dir() else set()


def missing_files(what: str, folder: Path, missing: Sequence[str], remedy: str) -> InputError:
    """The error for files that a folder lacks: how many, the first three, what to do."""
    return InputError(f"{folder} lacks {len(missing):,} {what} ({some_of(missing)}): {remedy}.")


def require_files(what: str, folder: Path, names: Iterable[str], remedy: str) -> None:
    """Checks that files are there, listing each folder once.

    Args:
        what: What they are, for the message.
        folder: The folder they lie in, or under.
        names: Their paths from there.
        remedy: What to do where one is missing.

    Raises:
        InputError: If any is missing; see `missing_files`.
    """
    present = {}
    missing = []
    for name in names:
        parent, _, base = name.rpartition("/")
        if parent not in present:
            present[parent] = file_names(folder / parent)
        if base not in present[parent]:
            missing.append(name)
    if missing:
        listed: Listed = {}
        there = [n for n in missing if os.path.exists(as_on_disk(str(folder / n), listed))]
        if there:
            remedy += (
                f" ({len(there):,} of them, such as {there[0]}, are there with letters composed in "
                "another way, NFC or NFD: write their names as the list does)"
            )
        raise missing_files(what, folder, missing, remedy)


Listed = dict[str, dict[str, str]]
"""Of each folder the names that lie in it, by their NFC forms."""


def as_on_disk(path: str, listed: Listed | None = None) -> str:
    """A path as its folder writes it, where only its letters are composed otherwise (NFC or NFD).

    macOS decomposes the letters of names, and archives carry them to other systems. A path that is
    there, or for which nothing like it is there, comes back as it is.

    Args:
        path: The path.
        listed: Shared by the paths of one read, so that each folder is listed once; those that are
            listed now are added.
    """
    if path.isascii() or os.path.exists(path):
        return path
    listed = {} if listed is None else listed
    parent, name = os.path.split(path)
    folder = as_on_disk(parent, listed) if parent not in ("", path) else parent
    if folder not in listed:
        listed[folder] = {_composed(each): each for each in file_names(Path(folder))}
    like = listed[folder].get(_composed(name))
    return path if like is None else os.path.join(folder, like)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def path_array(paths: Iterable[Path]) -> np.ndarray:
    """Paths as the array of strings that `Pairs.images` holds."""
    return np.array([str(path) for path in paths], dtype=np.str_)
