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
        kind: A row gets as many classes as it has, among its others (all of them where it has more
            than half of the classes): `symmetric` draws them; `asymmetric` takes for each class the
            next one, the first after the last, that the row has not and that is not taken yet.
        seed: Of NumPy's generator.

    Returns:
        `[n, classes]`.
    """
    random = np.random.default_rng(seed)
    known = np.flatnonzero(labels.any(axis=1) & ~labels.all(axis=1))
    rows = random.permutation(known)[: round(rate * len(known))]
    noisy = labels.copy()
    for row in rows:
        own, others = np.flatnonzero(labels[row]), np.flatnonzero(labels[row] == 0)
        own = own[: len(others)]
        noisy[row] = 0
        if kind == "symmetric":
            noisy[row, random.choice(others, len(own), replace=False)] = 1
            continue
        for each in own:
            free = others[noisy[row, others] == 0]
            noisy[row, free[((free - each) % labels.shape[1]).argmin()]] = 1
    return noisy
