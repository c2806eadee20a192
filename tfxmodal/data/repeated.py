"""Images that rows of features repeat, once a caption: the layout of the field's features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.errors import InputError
from tfxmodal.io.hashing import hash_rows


class TakenFeatures:
    """Rows of features, read when they are asked for; satisfies `Features`.

    Args:
        features: `[m, ...]`.
        rows: `[n]`, those that are taken, in this order.

    Attributes:
        features: As given, and so are `rows`.
    """

    def __init__(self, features: Features, rows: np.ndarray):
        self.features, self.rows = features, rows
        self.shape = (len(rows), *features.shape[1:])
        self.dtype = getattr(features, "dtype", np.dtype(np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows) -> np.ndarray:
        return self.features[self.rows[rows]]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.float32, copy=False)


def first_rows(keys: Sequence[Hashable]) -> np.ndarray:
    """`[n]`, of each key the first row that has it."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], np.int64)


def rows_of_captions(given: np.ndarray, images: Features, captions: int, name: str) -> np.ndarray:
    """The row of `images` that each caption belongs to, from a map that a user wrote.

    Args:
        given: Of each caption the row of its image, from 0, where `images` holds each image once;
            where it has a row a caption, any number that the rows of one image have in common.
        images: Features `[m, dim]`.
        captions: How many there are.
        name: Of the map, for messages.

    Returns:
        int `[captions]`, the same row for all captions of an image.

    Raises:
        InputError: If the map does not fit.
    """
    numbers = given.reshape(-1)
    if numbers.dtype.kind not in "fiub" or not np.array_equal(numbers, np.rint(numbers)):
        raise InputError(
            f"{name} must be whole numbers; received {given.dtype}: write row numbers."
        )
    if len(numbers) != captions:
        raise InputError(
            f"{name} must give each of the {captions} captions the row of its image; received "
            f"shape {list(given.shape)}: write one number a caption."
        )
    numbers, m = numbers.astype(np.int64), len(images)
    if np.array_equal(np.unique(numbers), np.arange(m)):
        return numbers
    if m == captions:
        rows = first_rows(numbers.tolist())
        keys = hash_rows(images)
        unlike = next((row for row, first in enumerate(rows) if keys[row] != keys[first]), None)
        if unlike is None:
            return rows
        raise InputError(
            f"{name} gives captions {rows[unlike]} and {unlike} one image, and these rows of the "
            "images differ: correct it, or write each image once."
        )
    raise InputError(
        f"{name} must name each of the {m} image rows, from 0 to {m - 1}; received "
        f"{len(np.unique(numbers))} numbers from {numbers.min()} to {numbers.max()}: count from 0, "
        "and leave out images without a caption."
    )


def with_image_ids(pairs: Pairs) -> Pairs:
    """The pairs, with `image_ids` where rows of the images are equal.

    Rows of zeros, and equal images of different labels, stay images of their own.
    """
    keys = hash_rows(pairs.images)
    owners = first_rows(keys)
    (zeros,) = hash_rows(np.zeros((1, pairs.images.shape[1])))
    own = np.array([key == zeros for key in keys])
    if pairs.labels is not None:
        own |= np.isin(owners, owners[(pairs.labels != pairs.labels[owners]).any(axis=1)])
    owners = np.where(own, np.arange(len(pairs)), owners)
    return replace(pairs, image_ids=owners) if len(np.unique(owners)) < len(pairs) else pairs


def without_number(name: str) -> str:
    """The id of a pair, from that of a row which `one_row_a_caption` made of it."""
    return name.rpartition("#")[0]


def one_row_a_caption(pairs: Pairs) -> Pairs:
    """The pairs with a row for each caption; `image_ids` are equal in the rows of one image.

    A pair without a caption keeps its row. In unpaired sets the images stay as they are.

    Args:
        pairs: Pairs with captions.
    """
    counts = [max(1, len(each)) for each in pairs.texts]
    if all(count == 1 for count in counts):
        return pairs
    rows = np.repeat(np.arange(len(counts)), counts)
    texts = [(caption,) for each in pairs.texts for caption in each or [""]]
    if not pairs.paired:
        return replace(pairs, texts=texts, text_labels=pairs.text_labels[rows])
    place = np.concatenate([np.arange(count) for count in counts])
    ids = np.array([f"{pairs.ids[row]}#{number}" for row, number in zip(rows, place, strict=True)])
    images = pairs.images[rows] if pairs.has_image_files else TakenFeatures(pairs.images, rows)
    bare = replace(pairs, images=np.arange(len(pairs)))  # Not read: there may be many.
    found = replace(
        bare.take(rows), ids=ids, images=images, texts=texts, image_ids=pairs.owners[rows]
    )
    if pairs.caption_ids is None:
        return found
    numbers = [each[at : at + 1] for each, at in zip(found.caption_ids, place, strict=True)]
    return replace(found, caption_ids=numbers)
