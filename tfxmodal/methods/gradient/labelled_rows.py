"""The few pairs whose labels a semi-supervised method sees."""

from __future__ import annotations

import numpy as np

from tfxmodal.data.pairs import labelled
from tfxmodal.errors import InputError


def labelled_rows(labels: np.ndarray, fraction: float, how: str, seed: int) -> np.ndarray:
    """The training rows whose labels a semi-supervised method may see.

    Args:
        labels: `[n, classes]` multi-hot.
        fraction: Share of the rows that have a label, above 0 and at most 1.
        how: `"first"`, the first rows; `"stratified"`, a random share of each class, rounded and at
            least one row (a row of several classes counts for its first).
        seed: Decides which, for `"stratified"`.

    Returns:
        Sorted row numbers.

    Raises:
        InputError: If the fraction is not in (0, 1], or no row has a label.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"`labelled_fraction` must be above 0 and at most 1; received {fraction}.")
    known = labelled(labels)
    if not len(known):
        raise InputError(
            f"`labelled_fraction` {fraction} needs labels, and no training pair has one; leave it "
            "at 0."
        )
    if how == "first":
        return known[: max(1, round(fraction * len(known)))]
    random = np.random.default_rng(seed)
    chosen = []
    for first_class in range(labels.shape[1]):
        rows = known[labels[known].argmax(axis=1) == first_class]
        count = max(1, round(fraction * len(rows)))
        chosen.append(random.permutation(rows)[:count])
    return np.sort(np.concatenate(chosen))
