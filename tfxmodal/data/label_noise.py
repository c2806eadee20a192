"""Wrong training labels, made on purpose: how well a method bears them (MRL, Hu et al., 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError

NoiseKind = Literal["symmetric", "asymmetric"]


def with_label_noise(train: Pairs, rate: float, kind: NoiseKind, seed: int) -> Pairs:
    """Training pairs of which a share has wrong labels.

    Of unpaired sets the images' and the texts' labels are changed by themselves. Rows that repeat
    an image keep its labels.

    Args:
        train: Training pairs with labels.
        rate: The share of the labelled rows that get wrong labels, rounded to whole rows.
        kind: See `noisy_labels`.
        seed: Decides which rows, and which classes.

    Raises:
        InputError: If there are no labels.
    """
    if not rate:
        return train
    if train.labels is None or not train.labels.any():
        raise InputError(
            f"`label_noise` {rate} changes labels, and the training pairs have none: leave it out."
        )
    noisy = {}
    for number, (name, labels) in enumerate(train.label_columns.items()):
        once = train.once(slice(None)) if name == "labels" else slice(None)
        noisy[name] = labels.copy()
        noisy[name][once] = noisy_labels(labels[once], rate, kind, [seed, number])
    noisy["labels"] = noisy["labels"][train.owners]
    return replace(train, **noisy)


def noisy_labels(labels: np.ndarray, rate: float, kind: NoiseKind, seed) -> np.ndarray:
    """Labels of which a share of the rows is wrong.

    Args:
        labels: Multi-hot `[n, classes]`.
        rate: The share of the rows with a label that become wrong, rounded to whole rows; a row of
            every class cannot be wrong, and stays.
        kind: `symmetric` gives a row as many classes as it has, drawn among its others (fewer where
            it has more than half of them); `asymmetric` gives for each class the next one, the
            first for the last.
        seed: Of NumPy's generator.

    Returns:
        `[n, classes]`.
    """
    random = np.random.default_rng(seed)
    known = np.flatnonzero(labels.any(axis=1) & ~labels.all(axis=1))
    rows = random.permutation(known)[: round(rate * len(known))]
    noisy = labels.copy()
    if kind == "asymmetric":
        noisy[rows] = np.roll(labels[rows], 1, axis=1)
    for row in rows if kind == "symmetric" else ():
        others = np.flatnonzero(labels[row] == 0)
        count = min(np.count_nonzero(labels[row]), len(others))
        noisy[row] = 0
        noisy[row, random.choice(others, count, replace=False)] = 1
    return noisy
