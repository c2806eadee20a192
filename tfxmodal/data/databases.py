"""What the test pairs are searched among: each other, or other splits as the database.

Hashing papers let the test pairs ask, and search the training pairs (Wikipedia: 693 queries) or all
other pairs (MIRFlickr: 2,000 queries, 18,015 items in the database), and count classes only.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from tfxmodal.data.pairs import Dataset, Features, Pairs
from tfxmodal.errors import InputError, choose

DATABASES = {"test": (), "train": ("train",), "rest": ("train", "validation")}
"""Of each name the splits that the test pairs are searched among; `test` is each other."""


class JoinedFeatures:
    """Features of several splits as one, without a copy; satisfies `Features`.

    Args:
        parts: Features `[n_i, dim]`.
    """

    def __init__(self, parts: Sequence[Features]):
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        rows = np.arange(len(self))[rows]
        flat = rows.ravel()
        features = np.empty((len(flat), *self.shape[1:]), np.float32)
        part_of_row = np.searchsorted(self._starts, flat, side="right") - 1
        for part in np.unique(part_of_row):
            chosen = part_of_row == part
            features[chosen] = self._parts[part][flat[chosen] - self._starts[part]]
        return features.reshape(*rows.shape, *self.shape[1:])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.float32, copy=False)


def with_database(dataset: Dataset, database: str) -> Dataset:
    """The dataset whose test pairs ask, and other splits are searched for them.

    The test split then holds both, the queries first; see `Pairs.queries`. Files and captions that
    are in two splits have the same ids in both.

    Args:
        dataset: Its test pairs become the queries.
        database: `train`, `rest` (train and validation), or `test`, which changes nothing.

    Raises:
        InputError: If the name is unknown, a split has no labels or no pairs, or the dataset itself
            names queries.
    """
    choose("database", database, DATABASES)
    if not DATABASES[database]:
        return dataset
    parts = [dataset.test, *(getattr(dataset, name) for name in DATABASES[database])]
    if any(part.labels is None or not part.paired for part in parts):
        raise InputError(
            f"`database` {database} needs labels and pairs in every split of {dataset.name}: leave "
            "it out, so that the test pairs are searched among each other."
        )
    if dataset.test.queries is not None:
        raise InputError(
            f"The test split of {dataset.name} names its queries itself; received `database` "
            f"{database}: leave it out."
        )
    queries = np.arange(sum(map(len, parts))) < len(dataset.test)
    return dataset.replace_splits(test=replace(joined(parts), queries=queries))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of several splits in one; where some have labels, the others' rows have zeros.

    Args:
        parts: Splits of pairs, no unpaired sets.
    """
    first = parts[0]

    def labels_of(part: Pairs) -> np.ndarray:
        if part.labels is None:
            return np.zeros((len(part), given[0].shape[1]), given[0].dtype)
        return part.labels

    given = [part.labels for part in parts if part.labels is not None]

    def all_of(name: str) -> list:
        return [getattr(part, name) for part in parts]

    images = np.concatenate if first.has_image_files else JoinedFeatures
    texts = (lambda lists: list(chain(*lists))) if first.has_captions else JoinedFeatures
    image_ids = None
    if any(part.image_ids is not None for part in parts):
        starts = np.cumsum([0, *map(len, parts)])
        owners = [start + part.owners for start, part in zip(starts, parts, strict=False)]
        image_ids = np.concatenate(owners)
    return Pairs(
        np.concatenate(all_of("ids")),
        images(all_of("images")),
        texts(all_of("texts")),
        labels=np.concatenate([labels_of(part) for part in parts]) if given else None,
        image_ids=image_ids,
    )
