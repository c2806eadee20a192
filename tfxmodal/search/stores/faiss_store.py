"""The store of FAISS: everything in memory, and written as a whole to an index's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.io.atomic import recover_folder, whole_folder
from tfxmodal.io.locks import held, lock_beside, locked
from tfxmodal.search.stores.checks import check_new, check_vectors, checked
from tfxmodal.search.stores.faiss_codes import FaissCodes
from tfxmodal.search.stores.faiss_files import appended, read_files, remove_earlier, write_files
from tfxmodal.search.stores.faiss_vectors import FaissVectors
from tfxmodal.search.stores.folder import (
    INDEX,
    check_free,
    read_folder,
    write_folder,
    write_index,
)
from tfxmodal.search.stores.metadata import Metadata
from tfxmodal.search.stores.store import About, Hits, StoredItems
from tfxmodal.search.stores.where import Where

TRIES = 5
"""Times that a folder is read which another process writes meanwhile."""


class FaissStore:
    """Fastest, for galleries that fit into memory and seldom change: a write writes everything.

    See `search.stores.Store`. Items that were deleted or replaced are kept until they are more than
    the others.

    Args:
        about: What it is made for.
        folder: Where it is, from the first write on; by default in memory alone.
        kind: How vectors are searched, see `FaissVectors`.
        codes: Whether they are binary codes, see `FaissCodes`.
    """

    name, is_shared = "faiss", False

    def __init__(
        self,
        about: About,
        folder: str | Path | None = None,
        kind: str = "auto",
        codes: bool = False,
    ):
        self.about, self.folder = about, None if folder is None else Path(folder)
        self._new_vectors = FaissCodes if codes else partial(FaissVectors, kind)
        self._empty()

    def _empty(self):
        """Holds nothing, in memory."""
        self._vectors = self._new_vectors()
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}  # of those that are not deleted
        self._live = np.empty(0, bool)
        self._embeddings: np.ndarray | None = None  # may have room at its end
        self._metadata = Metadata()
        self._written = 0
        self._settings: dict = {}  # As they are in the folder; none before the first write.

    @classmethod
    def open(cls, folder: Path) -> FaissStore:
        """Opens what is in a folder; embeddings stay on disk.

        Raises:
            InputError: If an array cannot be read.
            OSError, ValueError, KeyError, TypeError, RuntimeError: If it is damaged.
        """
        for tried in range(1, TRIES + 1):
            name, about, settings = read_folder(folder)
            store = cls(about, None, settings.get("kind", "auto"), settings.get("codes", False))
            store.folder = folder
            try:
                store._read(settings)
            except (OSError, RuntimeError, InputError):
                if tried == TRIES or read_folder(folder)[2] == settings:
                    raise
            else:
                return store

    # === Items ==================================================================================

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int | None:
        """Width of the vectors."""
        return self._vectors.dim

    @property
    def columns(self) -> dict[str, str]:
        """Types by name."""
        return self._metadata.columns

    @property
    def is_exact(self) -> bool:
        """Whether `search` never misses an item."""
        return self._vectors.is_exact

    def count(self, where: Where | None = None) -> int:
        """How many items fulfil a condition."""
        return len(self) if where is None else int(np.count_nonzero(self._allowed(where)))

    def add(self, items: StoredItems):
        """Adds items; see `Store`."""
        check_new([name for name in items.ids if name in self._rows])
        self.upsert(items)

    def upsert(self, items: StoredItems):
        """Adds and replaces items; see `Store`."""
        width = None
        if self._ids:
            width = 0 if self._embeddings is None else self._embeddings.shape[1]
        items, columns = checked(items, self._vectors.dim, width, self.columns)
        if not len(items):
            return
        with self._writing():
            old, n = len(self._ids), len(items)
            self._forget(items.ids)
            self._vectors.add(items.vectors)
            if items.embeddings is not None:
                before = items.embeddings[:0] if self._embeddings is None else self._embeddings
                self._embeddings = appended(before, old, items.embeddings)
            self._metadata.append(n, items.metadata, columns)
            self._live = np.concatenate([self._live, np.ones(n, bool)])
            self._ids += items.ids
            self._rows |= {name: row for row, name in enumerate(items.ids, start=old)}

    def delete(self, ids: Sequence[str]) -> int:
        """Removes items; see `Store`."""
        there = [name for name in dict.fromkeys(ids) if name in self._rows]
        if there:
            with self._writing():
                self._forget(there)
        return len(there)

    def _forget(self, ids: Sequence[str]):
        rows = [self._rows.pop(name) for name in ids if name in self._rows]
        self._live[rows] = False

    def get(self, ids: Sequence[str]) -> StoredItems:
        """The items of these ids; see `Store`."""
        return self._take(np.array([self._rows[name] for name in ids if name in self._rows], int))

    def items(self, where: Where | None = None) -> Iterator[StoredItems]:
        """All items that fulfil a condition, at once."""
        allowed = self._allowed(where)
        if len(self):
            yield self._take(slice(len(self._ids)) if allowed is None else np.flatnonzero(allowed))

    def some(self, most: int) -> list[str]:
        """Ids from all over the store; see `Store`."""
        ids = list(self._rows)
        return ids[:: -(-len(ids) // most) or 1]

    def search(
        self,
        queries: np.ndarray,
        k: int,
        where: Where | None = None,
        minimum: float = -np.inf,
    ) -> list[Hits]:
        """The items with the largest dot products; see `Store`."""
        queries = check_vectors(queries, "queries", self._vectors.dim)
        allowed = self._allowed(where)
        k = min(k, len(self) if allowed is None else int(np.count_nonzero(allowed)))
        if not k:
            return [Hits.none() for _ in queries]
        rows, scores = self._vectors.search(queries, k, allowed)
        hits = []
        for of_query, row in zip(scores, rows, strict=True):
            found = np.count_nonzero(of_query >= minimum)
            hits.append(Hits([self._ids[each] for each in row[:found]], of_query[:found]))
        return hits

    def optimize(self):
        """Nothing: each write does it."""

    def _allowed(self, where: Where | None) -> np.ndarray | None:
        """Which rows hold items that fulfil a condition; None for all."""
        if where is None:
            return None if self._live.all() else self._live
        return self._live & self._metadata.fulfil(where)

    def _take(self, rows) -> StoredItems:
        is_slice = isinstance(rows, slice)
        n = len(self._ids) if is_slice else len(rows)
        vectors = self._vectors.vectors(rows) if n and self._vectors.dim else np.empty((0, 0))
        return StoredItems(
            self._ids[rows] if is_slice else [self._ids[row] for row in rows],
            vectors.astype(np.float32, copy=is_slice),  # FAISS' own memory goes when it grows.
            None if self._embeddings is None else self._embeddings[rows],
            self._metadata.take(rows),
        )

    # === Files ==================================================================================

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Changes in memory, and then in the folder: there all of them, or none."""
        if self.folder is None:
            yield
            self._compact()
            return
        if not self._settings:
            with self._first_write():
                yield
            return
        with locked(self.folder):
            if read_folder(self.folder)[2] != self._settings:
                raise InputError(
                    f"The index {self.folder} was changed by another process since it was opened: "
                    "open it again."
                )
            try:
                yield
                self._compact()
                self._written += 1
                self._settings = self._write(self.folder, self._written)
                write_index(self.folder, self.name, self.about, self._settings)
            except BaseException:
                self.__dict__.update(FaissStore.open(self.folder).__dict__)
                raise
            remove_earlier(self.folder, self._written)

    @contextmanager
    def _first_write(self) -> Iterator[None]:
        """`_writing` into a folder that holds no index; after a failure nothing is in memory."""
        alone = lock_beside(Path(f"{self.folder}.partial"))  # Commands hold that of the folder.
        with held(alone, f"The index {self.folder}"):
            recover_folder(self.folder)
            if (self.folder / INDEX).exists():
                raise InputError(
                    f"The index {self.folder} was made by another process meanwhile: open it."
                )
            try:
                yield
                self.snapshot(self.folder)
                self._written, self._settings = 1, read_folder(self.folder)[2]
            except BaseException:
                self._empty()
                raise

    def _compact(self):
        """Leaves out what was deleted, where that is more than what was not."""
        rows = np.flatnonzero(self._live)
        if 2 * len(rows) >= len(self._live):
            return
        kept, embeddings = self._take(rows), self._embeddings
        self._vectors = self._new_vectors()
        self._vectors.add(kept.vectors)
        self._embeddings = embeddings if embeddings is None else embeddings[rows]
        self._metadata.keep(rows)
        self._ids, self._live = list(kept.ids), np.ones(len(rows), bool)
        self._rows = {name: row for row, name in enumerate(kept.ids)}

    def snapshot(self, folder: Path):
        """Writes all items to a folder of their own; see `Store`."""
        check_free(folder)
        with whole_folder(folder) as partial:
            write_folder(partial, self.name, self.about, self._write(partial, 1))

    def _write(self, folder: Path, number: int) -> dict:
        """Writes the files of a write, and returns the settings by which they are read."""
        told = {
            "ids": self._ids,
            "deleted": np.flatnonzero(~self._live).tolist(),
            "columns": self.columns,
            "metadata": self._metadata.take(slice(None)),
        }
        embeddings = self._embeddings
        if embeddings is not None:
            embeddings = embeddings[: len(self._ids)]
        write_files(folder, number, told, self._vectors, embeddings)
        codes = isinstance(self._vectors, FaissCodes)
        return {"codes": codes, "written": number} | self._vectors.settings

    def _read(self, settings: dict):
        """Reads the files of the last write."""
        told, vectors, self._embeddings = read_files(
            self.folder, settings, type(self._vectors), bool(self.about.space)
        )
        ids = self._ids = told["ids"]
        if len(vectors) != len(ids):
            raise ValueError(f"{len(vectors)} vectors of {len(ids)} items")
        if ids:
            self._vectors = vectors
        self._live = np.ones(len(ids), bool)
        self._live[told["deleted"]] = False
        self._rows = {ids[row]: row for row in np.flatnonzero(self._live).tolist()}
        self._metadata.append(len(ids), told["metadata"], told["columns"])
        self._settings, self._written = settings, settings.get("written", 0)
