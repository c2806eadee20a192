"""The few pairs whose labels a method sees, as SCL's table III trains all methods with labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Features, Pairs, labelled
from tfxmodal.data.repeated import TakenFeatures
from tfxmodal.errors import InputError, check_ranges


@dataclass(frozen=True, kw_only=True)
class FewLabels:
    """What the config of a method that learns from labels begins with."""

    labelled_fraction: float = 1.0
    """Fraction of the training pairs that have labels whose labels are used: a supervised method
    learns from those pairs alone, a semi-supervised one from the others without their labels."""

    labelled_rows: Literal["stratified", "first"] = "stratified"
    """Which pairs those are: the same share of every class, or the first rows."""

    def __post_init__(self):
        check_ranges(self, labelled_fraction="(0, 1]")


def with_few_labels(train: Pairs, config: FewLabels, seed: int) -> Pairs:
    """Training pairs with the labels that a config lets a method see; the others' are zeros.

    Args:
        train: Training pairs; in unpaired sets the texts' labels are chosen by themselves.
        config: How many, and which.
        seed: Decides which, where they are drawn.
    """
    if config.labelled_fraction == 1:
        return train
    seen = {}
    given = config.labelled_fraction, config.labelled_rows, seed
    for name, labels in train.label_columns.items():
        of_texts = name == "text_labels"
        rows = labelled_rows(labels, *given) if of_texts else labelled_images(train, *given)
        seen[name] = np.zeros_like(labels)
        seen[name][rows] = labels[rows]
    return replace(train, **seen)


def check_classes(labels: np.ndarray):
    """Checks that the labels a method sees tell rows apart.

    Args:
        labels: `[n, classes]` multi-hot; a row of zeros has no label.

    Raises:
        InputError: If all rows that have a label have the same classes.
    """
    seen = labels[labelled(labels)]
    if (seen == seen[:1]).all():
        raise InputError(
            "`labels` must separate the training pairs; received labels of "
            f"{np.count_nonzero(seen.any(axis=0))} class(es), the same in all {len(seen):,} "
            "labelled rows: give rows of at least two classes that differ (`labelled_rows` "
            "stratified keeps every class)."
        )


def labelled_streams(train: Pairs) -> dict[str, np.ndarray]:
    """The rows with labels, by stream: `pairs`, or of unpaired sets `images` and `texts`."""
    if train.paired:
        return {"pairs": labelled(train.labels)}
    return {"images": labelled(train.labels), "texts": labelled(train.text_labels)}


def labelled_features(train: Pairs) -> tuple[Features, Features]:
    """The images and the texts that have labels."""
    rows = labelled_streams(train)
    images, texts = (rows["pairs"],) * 2 if train.paired else (rows["images"], rows["texts"])
    return TakenFeatures(train.images, images), TakenFeatures(train.texts, texts)


def labelled_images(train: Pairs, fraction: float, how: str, seed: int) -> np.ndarray:
    """All rows of the images that `labelled_rows` chooses; several captions share an image."""
    once = train.once(slice(None))
    chosen = once[labelled_rows(train.labels[once], fraction, how, seed)]
    return np.flatnonzero(np.isin(train.owners, chosen))


def labelled_rows(labels: np.ndarray, fraction: float, how: str, seed: int) -> np.ndarray:
    """The training rows whose labels a semi-supervised method may see.

    Args:
        labels: `[n, classes]` multi-hot.
        fraction: Share of the rows that have a label, above 0 and at most 1.
        how: `"first"`, the first rows; `"stratified"`, a random share of each class, rounded and at
            least one row (a row of several classes counts for its first; then a row is added for
            each class that none of them has).
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
            f"`labelled_fraction` {fraction} needs labels, and no training pair has one: leave it "
            "out."
        )
    if how == "first":
        return known[: max(1, round(fraction * len(known)))]
    random = np.random.default_rng(seed)
    chosen = []
    for first_class in range(labels.shape[1]):
        rows = known[labels[known].argmax(axis=1) == first_class]
        count = max(1, round(fraction * len(rows)))
        chosen.extend(random.permutation(rows)[:count])
    for each_class in np.flatnonzero(labels.any(axis=0)):
        if not labels[chosen, each_class].any():  # A further one of rows of several classes.
            chosen.append(random.choice(np.flatnonzero(labels[:, each_class])))
    return np.sort(chosen)
