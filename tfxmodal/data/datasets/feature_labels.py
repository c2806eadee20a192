"""Labels of ready features: class numbers or multi-hot rows, -1 or NaN where there is none."""

import logging
from pathlib import Path

import numpy as np

from tfxmodal.data.class_names import FILE, listed_classes
from tfxmodal.errors import InputError

LOG = logging.getLogger(__name__)
UNKNOWN = -1
"""The class number of a row without a label."""


def labels_of(
    data_dir: Path, arrays: dict, rows: dict[str, tuple[int, list[str]]]
) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None]:
    """Multi-hot labels of the splits that have any, and the names of their columns (or None).

    Args:
        data_dir: The folder, for messages.
        arrays: What it holds.
        rows: Of each split the number of rows, and the names that its labels may have.

    Raises:
        InputError: If labels are not as `numbers` takes them, or do not fit together or the
            classes that are listed.
    """
    labels = {}
    for split, (n, names) in rows.items():
        given = [name for name in names if name in arrays]
        forms = [numbers(data_dir, name, arrays[name], n) for name in given]
        if any(not np.array_equal(forms[0], form) for form in forms):
            raise InputError(f"{' and '.join(given)} in {data_dir} differ: align the pairs' rows.")
        if forms:
            labels[split] = _told(data_dir, given[0], forms[0])
    if not labels:
        return {}, None
    shapes = {form.shape[1:] for form in labels.values()}
    if len(shapes) > 1:
        raise InputError(
            f"The splits in {data_dir} have labels of different widths "
            f"({', '.join(str(form.shape) for form in labels.values())}): use one form in all."
        )
    values = np.unique(np.concatenate(list(labels.values())))
    if shapes == {()}:
        values = values[values != UNKNOWN]
        labels = {split: form[:, None] == values for split, form in labels.items()}
    elif set(values) <= {UNKNOWN, 0, 1}:
        values = range(shapes.pop()[0])
        labels = {split: form == 1 for split, form in labels.items()}
    else:
        raise InputError(f"Labels [n, classes] in {data_dir} must be 0 or 1: write them so.")
    unpaired = {"train", "train texts"} if "train texts" in rows else set()
    labels = {
        split: form.astype(np.uint8)
        for split, form in labels.items()
        if form.any() or split in unpaired
    }
    if not labels:
        return {}, None
    names = listed_classes(data_dir) or [str(value) for value in values]
    if len(names) != len(values):
        raise InputError(
            f"The labels in {data_dir} are of {len(values)} classes, and {FILE} there names "
            f"{len(names)}: write a line for each class."
        )
    return labels, tuple(names)


def numbers(data_dir: Path, name: str, labels: np.ndarray, n: int) -> np.ndarray:
    """Labels as written, whole numbers `[n]` or `[n, classes]`, with `UNKNOWN` for NaN.

    Of `[n, classes]` only whole rows may be unknown.

    Raises:
        InputError: If they are something else.
    """
    if labels.size == n:
        labels = labels.reshape(n)  # MATLAB keeps vectors as one row or one column.
    good = labels.ndim in (1, 2) and len(labels) == n and labels.dtype.kind in "fiub"
    if good and labels.dtype.kind == "f":
        labels = np.where(np.isnan(labels), UNKNOWN, labels)
    if not good or not np.array_equal(labels, np.rint(labels)):
        raise InputError(
            f"{name} in {data_dir} must be whole numbers [{n}] or [{n}, classes], a row a pair; "
            f"received {labels.dtype} {list(labels.shape)}: write it so."
        )
    negative = labels < 0 if labels.dtype.kind in "fi" else np.zeros(labels.shape, bool)
    unknown = (labels == UNKNOWN) if labels.ndim == 1 else (labels == UNKNOWN).all(axis=1)
    wrong = np.flatnonzero((negative if labels.ndim == 1 else negative.any(axis=1)) & ~unknown)
    if len(wrong):
        raise InputError(
            f"{name} in {data_dir} has a negative label that is not -1 for a whole row, first in "
            f"row {wrong[0]} ({labels[wrong[0]]}): number classes from 0, or write 0 and 1."
        )
    return labels.astype(np.int64)


def written(labels: np.ndarray) -> tuple[np.ndarray, type]:
    """Multi-hot labels `[n, classes]` and the dtype in which they are saved, for `labels_of`.

    A single class is written as class numbers `[n]`: one column would be read as such.
    """
    if labels.shape[1] == 1:
        return np.where(labels[:, 0], 0, UNKNOWN), np.int8
    return labels, np.uint8


def _told(data_dir: Path, name: str, form: np.ndarray) -> np.ndarray:
    """The labels; how many rows have none is logged."""
    unknown = form == UNKNOWN if form.ndim == 1 else (form == UNKNOWN).all(axis=1)
    if unknown.any():
        count = np.count_nonzero(unknown)
        message = "%d of %d rows of %s in %s have no label (-1 or NaN)."
        LOG.warning(message, count, len(form), name, data_dir)
    return form
