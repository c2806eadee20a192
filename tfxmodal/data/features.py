"""A folder of ready features: `train_img`, `train_txt`, `train_lab`, `validation_*`, `test_*`.

Each is a file `train_img.npy`, a file `train_img.mat` with one array of any name (the layout of the
field's published features; labels there are `train_img_lab.mat` and, optionally,
`train_txt_lab.mat`), or an array in an `.npz`. Features are `[n, dim]`; labels are class numbers
`[n]` of any base or one- or multi-hot `[n, classes]`, and may be absent. float32 `.npy` files stay
on disk, mapped into memory; the rest is converted in memory.

Without `validation_*`, every tenth training row is validation (rows 9, 19, ...; copied into
memory): it repeats, it keeps the classes' shares in files sorted by class, and it leaves the test
rows alone.
"""

from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.data.reading import read_arrays
from tfxmodal.errors import InputError

SPLITS = ("train", "validation", "test")
LABELS = ("lab", "img_lab", "txt_lab")
NAMES = {f"{split}_{kind}" for split in SPLITS for kind in ("img", "txt", *LABELS)}


def load(data_dir: Path) -> Dataset:
    """Loads the splits.

    Raises:
        InputError: If an array is missing, damaged or not finite, or its shape does not fit the
            others'.
    """
    data_dir = Path(data_dir)
    arrays = _read(data_dir)
    names = [split for split in SPLITS if split != "validation" or "validation_img" in arrays]
    features = {
        split: [_features(data_dir, arrays, f"{split}_{kind}") for kind in ("img", "txt")]
        for split in names
    }
    for split, columns in features.items():
        for kind, column, train in zip(("img", "txt"), columns, features["train"], strict=True):
            if column.shape[1] != train.shape[1]:
                raise InputError(
                    f"{split}_{kind} in {data_dir} is {column.shape[1]} wide and train_{kind} "
                    f"{train.shape[1]}: use the same features in every split."
                )
    labels, class_names = _labels(data_dir, arrays, {s: len(features[s][0]) for s in names})
    splits = {
        split: Pairs(np.array([f"{split}/{row}" for row in range(len(images))]), images, texts, lab)
        for (split, (images, texts)), lab in zip(features.items(), labels, strict=True)
    }
    if "validation" not in splits:
        rows, train = np.arange(len(splits["train"])), splits["train"]
        splits["validation"] = train.take(rows[9::10])
        splits["train"] = train.take(rows[rows % 10 != 9])
    return Dataset("features", **splits, class_names=class_names)


def _read(data_dir: Path) -> dict[str, np.ndarray]:
    """Every array of a known name in the folder."""
    arrays = {}
    for path in sorted(data_dir.glob("*.np[yz]")) + sorted(data_dir.glob("*.mat")):
        if path.suffix == ".npz":
            found = {name: array for name, array in read_arrays(path).items() if name in NAMES}
        elif path.stem in NAMES:
            content = read_arrays(path)
            if len(content) != 1:
                raise InputError(
                    f"{path} must hold one array; received {', '.join(content) or 'none'}: keep "
                    "one a file."
                )
            found = {path.stem: next(iter(content.values()))}
        else:
            continue
        if twice := found.keys() & arrays.keys():
            raise InputError(f"{data_dir} gives {min(twice)} in two files: keep one of them.")
        arrays |= found
    return arrays


def _features(data_dir: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """One array of features, checked, float32."""
    if name not in arrays:
        raise InputError(
            f"{data_dir} lacks {name} (.npy, .mat or in an .npz); it has "
            f"{', '.join(sorted(arrays)) or 'no array of a known name'}: add it."
        )
    array = arrays[name]
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} in {data_dir} must be real numbers [n, dim]; received {array.dtype} "
            f"{list(array.shape)}."
        )
    for start in range(0, len(array), 4096):  # In chunks: the file may be larger than memory.
        bad = np.flatnonzero(~np.isfinite(array[start : start + 4096]).all(axis=1))
        if len(bad):
            raise InputError(
                f"{name} in {data_dir} has NaN or infinite values, first in row {start + bad[0]}: "
                "extract that row again or drop the pair."
            )
    return array if array.dtype == np.float32 else array.astype(np.float32)


def _labels(data_dir: Path, arrays: dict[str, np.ndarray], rows: dict[str, int]):
    """Multi-hot labels (or None) of each split, and the names of their columns."""
    given = {split: _given_labels(data_dir, arrays, split, n) for split, n in rows.items()}
    known = [labels for labels in given.values() if labels is not None]
    if not known:
        return [None] * len(rows), None
    shapes = {labels.shape[1:] for labels in known}
    if len(shapes) > 1:
        raise InputError(
            f"The splits in {data_dir} have labels of different widths "
            f"({', '.join(str(labels.shape) for labels in known)}): use one form in all."
        )
    if shapes == {()}:
        classes = np.unique(np.concatenate(known))
        given = {s: None if y is None else y[:, None] == classes for s, y in given.items()}
    elif any(np.setdiff1d(labels, (0, 1)).size for labels in known):
        raise InputError(
            f"Labels [n, classes] in {data_dir} must be zeros and ones: write them so."
        )
    else:
        classes = range(known[0].shape[1])
    multi_hot = [None if labels is None else labels.astype(np.uint8) for labels in given.values()]
    return multi_hot, tuple(str(name) for name in classes)


def _given_labels(data_dir: Path, arrays: dict[str, np.ndarray], split: str, n: int):
    """A split's labels as written, `[n]` or `[n, classes]`, or None."""
    given = {f"{split}_{kind}": arrays.get(f"{split}_{kind}") for kind in LABELS}
    given = {name: labels for name, labels in given.items() if labels is not None}
    for name, labels in given.items():
        if labels.size == n:
            labels = labels.reshape(n)  # MATLAB keeps vectors as one row or one column.
        if len(labels) != n or labels.ndim > 2 or np.any(labels != labels.astype(np.int64)):
            raise InputError(
                f"{name} in {data_dir} must be whole numbers [{n}] or [{n}, classes], a row a "
                f"pair; received {labels.dtype} {list(labels.shape)}."
            )
        given[name] = labels.astype(np.int64)
    first, *others = given.values() or [None]
    if any(not np.array_equal(first, other) for other in others):
        raise InputError(f"{' and '.join(given)} in {data_dir} differ: pairs must be aligned rows.")
    return first
