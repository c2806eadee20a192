"""The arrays of a folder of ready features, read and checked."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_arrays

CHUNK = 4096
"""Rows that are checked at a time: the file may outgrow the memory."""
EXACT = 2**24
"""float32 holds the whole numbers up to here."""


def read_folder(data_dir: Path, known: Collection[str]) -> dict[str, np.ndarray]:
    """Every array of a known name in a folder.

    Raises:
        InputError: If a file is damaged or holds several arrays, or a name is there twice.
    """
    arrays = {}
    for path in sorted(data_dir.glob("*.np[yz]")) + sorted(data_dir.glob("*.mat")):
        if path.suffix != ".npz" and path.stem not in known:
            continue
        content = read_arrays(path)
        found = {name: content[name] for name in content if name in known}
        if path.stem in known and (path.suffix != ".npz" or not found):
            if len(content) != 1:
                raise InputError(
                    f"{path} must hold one array; received {', '.join(content) or 'none'}: keep "
                    "one a file."
                )
            found = {path.stem: next(iter(content.values()))}
        if twice := found.keys() & arrays.keys():
            raise InputError(f"{data_dir} gives {min(twice)} in two files: keep one of them.")
        arrays |= found
    return arrays


def features_of(
    data_dir: Path, arrays: dict, splits: list[str], kind: str
) -> dict[str, np.ndarray]:
    """The images' or texts' features of each split, checked, float32.

    Args:
        data_dir: The folder, for messages.
        arrays: What it holds.
        splits: The names of the splits.
        kind: `img` or `txt`.

    Raises:
        InputError: If an array is missing, looks transposed, or holds what float32 cannot hold.
    """
    features = {}
    for split in splits:
        name = f"{split}_{kind}"
        if name not in arrays:
            raise InputError(
                f"{data_dir} lacks {name} (.npy, .mat or in an .npz); it has "
                f"{', '.join(sorted(arrays)) or 'no array of a known name'}: add it."
            )
        array = arrays[name]
        if array.ndim != 2 or not array.size or array.dtype.kind not in "fiub":
            raise InputError(
                f"{name} in {data_dir} must be real numbers [n, dim]; received {array.dtype} "
                f"{list(array.shape)}: write it so."
            )
        if _is_transposed(arrays, split, kind):
            raise InputError(
                f"{name} in {data_dir} looks transposed: it must be [n, dim], a row a pair; "
                f"received {list(array.shape)}: write its transpose."
            )
        width = arrays[f"train_{kind}"].shape[1]
        if array.shape[1] != width:
            raise InputError(
                f"{name} in {data_dir} is {array.shape[1]} wide and train_{kind} {width}: use the "
                "same features in every split."
            )
        _check_values(f"{name} in {data_dir}", array)
        features[split] = array if array.dtype == np.float32 else array.astype(np.float32)
    return features


def _is_transposed(arrays: dict, split: str, kind: str) -> bool:
    """Whether labels, the other splits or the other modality say that columns are the pairs."""
    if f"{split}_cap_img" in arrays:  # Then there are more texts than images.
        return False
    rows, width = arrays[f"{split}_{kind}"].shape
    for name in (f"{split}_{kind}_lab", f"{split}_lab"):
        if name in arrays:
            shape = arrays[name].shape
            return rows not in shape and width in shape
    shapes = [array.shape for name, array in arrays.items() if name.endswith(f"_{kind}")]
    if any(shape[0] == rows and shape[1:] != (width,) for shape in shapes):
        return True
    other = arrays.get(f"{split}_{'txt' if kind == 'img' else 'img'}")
    return other is not None and rows != len(other) == width


def _check_values(name: str, array: np.ndarray):
    """Checks that float32 holds all values, and none of them is NaN or infinite."""
    for start in range(0, len(array), CHUNK):
        chunk = array[start : start + CHUNK]
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(chunk.astype(np.float32)).all(axis=1))
        if len(bad) and not np.isfinite(chunk[bad[0]]).all():
            raise InputError(
                f"{name} has NaN or infinite values, first in row {start + bad[0]}: extract that "
                "row again or drop the pair."
            )
        if len(bad):
            raise InputError(
                f"{name} has values that float32 cannot hold, first in row {start + bad[0]} "
                f"({np.abs(chunk[bad[0]]).max():g}): scale the features."
            )
        if chunk.dtype.kind in "iu":
            large = np.flatnonzero(((chunk > EXACT) | (chunk < -EXACT)).any(axis=1))
            if len(large):
                raise InputError(
                    f"{name} has whole numbers beyond {EXACT:,}, first in row "
                    f"{start + large[0]}, which float32 cannot tell apart: scale the features."
                )
