"""What a store is: items with ids, vectors and metadata, searched for large dot products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tfxmodal.io.hashing import fingerprint
from tfxmodal.search.stores.where import Where

Value = str | float | bool | None
"""Metadata of an item in one column; None where it has none."""


@dataclass(frozen=True)
class About:
    """What a store keeps of its gallery, from the day on which it was made.

    Attributes:
        fingerprint: Names the model that made the vectors: `TrainedRun.fingerprint`, and
            `fingerprint` in an exported version's `signatures.json`. No other model's are taken.
        gallery: `texts` or `images`: what the items are.
        rescore: Share of the gallery that is scored exactly for each query, see `search.index`.
        space: Arrays by which `search.landmarks` maps embeddings to vectors; empty where the
            vectors are the embeddings. A store does not read them.
    """

    fingerprint: str
    gallery: str
    rescore: float = 0.0
    space: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash of all that decides the vectors: model, gallery and space."""
        arrays = [self.space[name] for name in sorted(self.space)]
        return fingerprint(self.fingerprint, self.gallery, *arrays)


@dataclass(frozen=True)
class StoredItems:
    """Items of a store, `n` of them.

    Attributes:
        ids: `[n]` strings, the user's names, each once.
        vectors: `[n, d]` float32: what is searched.
        embeddings: `[n, e]` float32: what the model scores, where that is not the vectors; else
            None.
        metadata: By column its values `[n]`: strings, numbers (float or int), booleans or None.
    """

    ids: Sequence[str]
    vectors: np.ndarray
    embeddings: np.ndarray | None = None
    metadata: Mapping[str, Sequence[Value]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scored(self) -> np.ndarray:
        """What the model scores: the embeddings, or the vectors where these are the same."""
        return self.vectors if self.embeddings is None else self.embeddings

    def take(self, rows: Sequence[int] | np.ndarray) -> StoredItems:
        """The items of some rows."""
        return StoredItems(
            [self.ids[row] for row in rows],
            self.vectors[rows],
            None if self.embeddings is None else self.embeddings[rows],
            {name: [values[row] for row in rows] for name, values in self.metadata.items()},
        )


@dataclass(frozen=True)
class Hits:
    """What one query found.

    Attributes:
        ids: `[found]`, best first.
        scores: `[found]` float32, the dot products of the query with the vectors.
    """

    ids: list[str]
    scores: np.ndarray

    @classmethod
    def none(cls) -> Hits:
        """Those of a query that found nothing."""
        return cls([], np.empty(0, np.float32))


class Store(Protocol):
    """Items of one gallery, with vectors of one model.

    Other processes may search a store while one writes it: each search sees items as they were
    before or after a write, never half of one. What a writing method was given is durable when it
    returns: it survives a killed process. Of a store on a server, which takes a write in several
    requests, this holds for each of them.

    Attributes:
        name: By which `STORES` knows it.
        about: What it was made for.
        folder: The index's folder; None of one in memory.
        is_shared: Whether several processes may write it, and each sees at once what others wrote.
            Else one process writes, and others see what they opened.
    """

    name: str
    about: About
    folder: Path | None
    is_shared: bool

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store of an index's folder; damage raises what `io.reading.DAMAGE` names."""

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None where there are none yet."""

    @property
    def columns(self) -> dict[str, str]:
        """Its metadata columns, each `text`, `number` or `boolean`."""

    @property
    def is_exact(self) -> bool:
        """Whether `search` never misses an item."""

    def count(self, where: Where | None = None) -> int:
        """How many items it holds, or of these fulfil a condition."""

    def add(self, items: StoredItems):
        """Adds items that are not there yet: all of them or, if something is wrong with them, none.

        Raises:
            InputError: If an id is given twice or is there, vectors do not fit those that are there
                or are not finite, or metadata are of another type than their column.
        """

    def upsert(self, items: StoredItems):
        """Adds items, and replaces those whose ids are there, with their metadata; see `add`."""

    def delete(self, ids: Sequence[str]) -> int:
        """Removes items, and returns how many of them were there."""

    def get(self, ids: Sequence[str]) -> StoredItems:
        """The items of these ids, in this order; those that are not there are left out."""

    def items(self, where: Where | None = None) -> Iterator[StoredItems]:
        """All items that fulfil a condition, in batches."""

    def some(self, most: int) -> list[str]:
        """Ids of up to so many items, from all over the store; no item is read for it."""

    def search(
        self,
        queries: np.ndarray,
        k: int,
        where: Where | None = None,
        minimum: float = -np.inf,
    ) -> list[Hits]:
        """The items with the largest dot products.

        Args:
            queries: `[q, d]` float32.
            k: Most items for each; at least 1.
            where: A condition on metadata, see `search.stores.where.parse`.
            minimum: The least dot product.

        Returns:
            For each query up to `k` items.

        Raises:
            InputError: If the condition names no column, or queries do not fit the vectors.
        """

    def optimize(self):
        """Arranges what was written for fast searches. Without it, they are right and slower."""

    def snapshot(self, folder: Path):
        """Writes all items as they are now to a folder, which opens by itself as a store.

        An index that is there is replaced.

        Raises:
            InputError: If the folder holds something else.
        """
