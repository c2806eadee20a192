"""The one data type: aligned image-text pairs, as files and captions or as features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfxmodal.data.dataset_card import DatasetCard
from tfxmodal.errors import InputError


class Features(Protocol):
    """Rows of features, in memory or on disk: `features[rows]` gives `[len(rows), dim]` float32.

    A NumPy array is one; `tfxmodal.inputs.cache.ShardedFeatures` is one that stays on disk.
    """

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, rows) -> np.ndarray: ...


MAX_TEXT_BYTES = 1_000_000
"""Longer texts, in UTF-8, are refused, in training as by an export; Wikipedia has no article as
long. An export needs up to 0.5 s of CPU for each megabyte."""

Captions = Sequence[tuple[str, ...]]
"""One or several captions of each pair."""


@dataclass(frozen=True)
class Pairs:
    """One split of a dataset: `n` pairs of an image and its text, row by row.

    Attributes:
        ids: `[n]` strings, unique: the user's names of the pairs.
        images: `[n]` paths of image files, or features `[n, d_image]`.
        texts: Captions of each pair (one or several), or features `[n, d_text]`.
        labels: `[n, classes]` multi-hot (uint8), or None where the dataset has none. A row of zeros
            has no label: supervised methods leave it out, and nothing is relevant to it.
        text_labels: `[m, classes]`, only where images and texts do not belong together one by one:
            then there may be another number m of texts, and `ids` and `labels` are the images'.
        queries: bool `[n]`, which rows ask in an evaluation; the others are the database that is
            searched for items of their classes. By default every row asks and all are searched.
        image_ids: `[n]` integers, equal in rows that repeat one image (and its labels) with another
            text of it; None where no image is repeated.
        caption_ids: The dataset's own number of each caption, in the order of `texts`, where it
            gives one.
    """

    ids: np.ndarray
    images: np.ndarray | Features
    texts: Captions | Features
    labels: np.ndarray | None = None
    text_labels: np.ndarray | None = None
    queries: np.ndarray | None = None
    image_ids: np.ndarray | None = None
    caption_ids: Sequence[tuple[int, ...]] | None = None

    def __post_init__(self):
        columns: dict[str, Any] = {"ids": self.ids, "images": self.images, "texts": self.texts}
        labels = {"labels": self.labels, "text_labels": self.text_labels}
        given: dict[str, Any] = {"queries": self.queries, "image_ids": self.image_ids}
        given |= labels | {"caption_ids": self.caption_ids}
        columns |= {name: column for name, column in given.items() if column is not None}
        for name in labels.keys() & columns:
            if columns[name].ndim != 2:
                raise InputError(
                    f"`{name}` must be multi-hot [n, classes]; received shape "
                    f"{columns[name].shape}."
                )
        counts = {name: len(column) for name, column in columns.items()}
        of_texts = set() if self.paired else {"texts", "text_labels"}
        if any(
            len({counts[name] for name in names}) > 1
            for names in (counts.keys() & of_texts, counts.keys() - of_texts)
        ):
            raise InputError(
                f"A split's columns must have one row a pair; received {counts}: align them."
            )
        if self.queries is not None and (self.queries.dtype != bool or self.labels is None):
            raise InputError(
                "`queries` must be bool [n], beside labels, which say what is right; received "
                f"{self.queries.dtype} with{'out' if self.labels is None else ''} labels: mark the "
                "rows that ask."
            )
        if self.image_ids is not None and self.labels is not None:
            owners = self.owners
            unlike = np.flatnonzero((self.labels != self.labels[owners]).any(axis=1))
            if len(unlike):
                row = unlike[0]
                raise InputError(
                    f"Rows {owners[row]} and {row} of a split are captions of one image and have "
                    "different labels: give an image's rows the same labels."
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def paired(self) -> bool:
        """Whether row by row an image and a text belong together."""
        return self.text_labels is None

    @property
    def has_image_files(self) -> bool:
        """Whether images are paths, still to be turned into features by an encoder."""
        return len(getattr(self.images, "shape", (0,))) == 1

    @property
    def has_captions(self) -> bool:
        """Whether texts are captions, still to be turned into features by an encoder."""
        return not hasattr(self.texts, "shape")

    @property
    def has_contents(self) -> bool:
        """Whether there are image files and captions, which can be shown and read in parts."""
        return self.has_image_files and self.has_captions

    @property
    def sides(self) -> tuple[np.ndarray | slice, np.ndarray | slice]:
        """The rows that ask and the rows that are searched, as indices of a column."""
        if self.queries is None:
            return slice(None), slice(None)
        return np.flatnonzero(self.queries), np.flatnonzero(~self.queries)

    @property
    def unlabelled(self) -> int:
        """How many images and texts of their own have no label, where there are labels."""
        return sum(len(side) - len(labelled(side)) for side in self.label_columns.values())

    @property
    def exclusive(self) -> bool:
        """Whether classes exclude each other: no image or text has several."""
        return all((side.sum(axis=1) <= 1).all() for side in self.label_columns.values())

    @property
    def label_columns(self) -> dict[str, np.ndarray]:
        """Those of `labels` and `text_labels` that are there, by name."""
        columns = {"labels": self.labels, "text_labels": self.text_labels}
        return {name: column for name, column in columns.items() if column is not None}

    @property
    def owners(self) -> np.ndarray:
        """`[n]`, the first row with the image of each row: its own where no image is repeated."""
        if self.image_ids is None:
            return np.arange(len(self))
        _, first, image = np.unique(self.image_ids, return_index=True, return_inverse=True)
        return first[image]

    def once(self, rows: np.ndarray | slice) -> np.ndarray:
        """Those of `rows` that are the first ones there with their image."""
        rows = np.arange(len(self))[rows]
        _, first = np.unique(self.owners[rows], return_index=True)
        return rows[np.sort(first)]

    def take(self, rows: np.ndarray) -> "Pairs":
        """The pairs at `rows` (integer indices), in that order; of unpaired sets the images."""
        images: dict[str, Any] = {"ids": self.ids[rows], "images": self.images[rows]}
        for name in ("labels", "queries", "image_ids"):
            column = getattr(self, name)
            images[name] = None if column is None else column[rows]
        if not self.paired:
            return replace(self, **images)
        texts: Any = self.texts
        texts = [texts[row] for row in rows] if self.has_captions else texts[rows]
        numbers = self.caption_ids and [self.caption_ids[row] for row in rows]
        return replace(self, **images, texts=texts, caption_ids=numbers)

    def with_features(self, images: Features | None = None, texts: Features | None = None):
        """These pairs with files or captions replaced by their features."""
        return replace(
            self,
            images=self.images if images is None else images,
            texts=self.texts if texts is None else texts,
        )


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test pairs.

    Attributes:
        name: The name by which `--dataset` knows it.
        train: Pairs that methods learn from; labels may be used by supervised methods.
        validation: Pairs that select: the epoch, hyper-parameters.
        test: Pairs that are scored once, at the end.
        class_names: Names of the label columns, by default "0", "1" and so on; None where no split
            has labels.
        card: What people say of it: licence, source, language.
        data_dir: From where `load_dataset` loaded it, where it was told.
        options: And with which options: NAME=VALUE.
    """

    name: str
    train: Pairs
    validation: Pairs
    test: Pairs
    class_names: tuple[str, ...] | None = None
    card: DatasetCard = DatasetCard()
    data_dir: Path | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self):
        for name, pairs in self.splits():
            if pairs.queries is not None and len(np.unique(pairs.queries)) < 2:
                raise InputError(
                    f"The {name} split of {self.name} names queries: it must have pairs that ask "
                    f"and others that are searched; received {np.count_nonzero(pairs.queries)} "
                    f"queries among {len(pairs)} pairs."
                )
        labels = {name: pairs.labels for name, pairs in self.splits() if pairs.labels is not None}
        if not labels:
            return
        widths = {name: of_split.shape[1] for name, of_split in labels.items()}
        if self.class_names is None:
            names = tuple(str(column) for column in range(max(widths.values())))
            object.__setattr__(self, "class_names", names)
        if set(widths.values()) != {self.classes}:
            raise InputError(
                f"Every split of {self.name} must have a label column for each of its "
                f"{self.classes} classes; received columns {widths}: align them."
            )

    @property
    def classes(self) -> int:
        """The number of classes, 0 without labels."""
        return 0 if self.class_names is None else len(self.class_names)

    def splits(self) -> Iterator[tuple[str, Pairs]]:
        """Yields `("train", pairs)`, `("validation", pairs)`, `("test", pairs)`."""
        yield "train", self.train
        yield "validation", self.validation
        yield "test", self.test

    def replace_splits(self, **splits: Pairs) -> "Dataset":
        """This dataset with some of its splits replaced, by name."""
        changed: dict[str, Any] = dict(splits)
        return replace(self, **changed)


def labelled(labels: np.ndarray) -> np.ndarray:
    """The rows of multi-hot labels `[n, classes]` that have a class, as indices."""
    return np.flatnonzero(labels.any(axis=1))


def multi_hot(labels: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """Lists of class indices as a multi-hot matrix `[n, classes]` (uint8).

    Raises:
        InputError: If an index is negative or too large.
    """
    matrix = np.zeros((len(labels), classes), np.uint8)
    for row, indices in enumerate(labels):
        if any(not 0 <= index < classes for index in indices):
            raise InputError(
                f"Class numbers must be from 0 to {classes - 1}; received {list(indices)} in row "
                f"{row}: correct it, or leave the row without a class."
            )
        matrix[row, list(indices)] = 1
    return matrix
