"""The store of LanceDB: items on disk or in a bucket, where each write is a version.

LanceDB is imported where it is used; it is the extra `lancedb`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.io.atomic import sync_changes, whole_folder
from tfxmodal.io.locks import locked
from tfxmodal.retrieval.scorer import best
from tfxmodal.search.stores.cells import ASKED, BEST, enough_cells, sums
from tfxmodal.search.stores.checks import check_new, check_vectors, checked, is_id
from tfxmodal.search.stores.folder import INDEX, check_free, read_folder, write_folder
from tfxmodal.search.stores.lancedb_rows import (
    columns_of,
    ids_in,
    items_of,
    new_fields,
    schema_of,
    sql,
    table_of,
    vectors_of,
    widths,
)
from tfxmodal.search.stores.store import About, Hits, StoredItems
from tfxmodal.search.stores.where import Where

TABLE = "items"

EXACT = 20_000
"""Vectors up to which all are compared, in a few milliseconds: nothing is missed."""

LOOKED_UP = 5_000
"""Ids that are looked up at a time."""

BATCH = 2**14
"""Items that `items` gives at a time."""

BITS = 4
"""To which the codes shorten each number of a vector."""

CELL = 4096
"""Vectors of a cell, about. LanceDB joins cells that are much smaller, and splits much larger ones,
when it adds what was written since."""

PROBED, WANTED = 12, 50
"""Cells that a search reads, at least, and one more for each so many items that are wanted; see
`enough_cells`."""

CHOSEN = "chosen"
"""Where the field of the vectors tells how many."""

GROWTH = 4
"""How many cells are read is chosen again for more than so many times the items."""

REFINED, AT_LEAST = 2, 50
"""Times as many as are wanted that it finds by their codes, and the fewest; the vectors decide
among them."""

SEEN = 200
"""Vectors that a search keeps in view at least, in the graph of an earlier version."""

SAMPLED, ROUNDS = 32, 10
"""Vectors a cell of which the cells' centres are made, and the rounds of k-means: LanceDB's own 256
and 50 take several times as long."""

VERSIONS = 256
"""Writes after which the files of many small ones are joined."""

KEPT = timedelta(minutes=10)
"""Age of versions that are removed then, since each search looks through all that there are: who
reads one that long must begin again."""

NEVER = timedelta(days=36500)
"""Older than any version."""

LOG = logging.getLogger(__name__)


class LanceStore:
    """For galleries that change, or do not fit into memory; see `search.stores.Store`.

    Up to `EXACT` items all vectors are compared. For more, `optimize` divides them into cells and
    makes short codes of them (IVF_RQ, or IVF_SQ where the width is no multiple of 8), and items
    that were written since are compared one by one. Writers wait for each other by a lock of the
    table's folder, whose file system must have locks; those of a table in a bucket by a lock of
    `folder`, so that one such folder alone may write it.

    Args:
        about: What it is made for.
        folder: Where it is, from the first write on.
        url: A folder or bucket for the table, as s3://BUCKET/PATH; by default in `folder`.

    Raises:
        InputError: If LanceDB is not installed.
    """

    name, is_shared = "lancedb", True

    def __init__(self, about: About, folder: Path, url: str | None = None):
        try:
            import lancedb
        except ImportError:
            raise InputError(
                "`store` lancedb needs the package lancedb: pip install '.[lancedb]'."
            ) from None
        self.about, self.folder, self.url = about, Path(folder), url
        # Where the table is: a folder, or the address of a bucket.
        self._place = url if "://" in (url or "") else Path(url or folder)
        # Each search looks whether there is a newer version.
        self._database = lancedb.connect(url or str(folder), read_consistency_interval=timedelta(0))
        self._opened = None
        self._tidied: int | None = None

    @classmethod
    def open(cls, folder: Path) -> LanceStore:
        """Opens what is in a folder."""
        _, about, settings = read_folder(folder)
        return cls(about, folder, settings["url"])

    @property
    def _table(self):
        """The table; None before the first write."""
        if self._opened is None and TABLE in self._database.list_tables().tables:
            table = self._database.open_table(TABLE)
            if (table.schema.metadata or {}).get(b"key", b"").decode() != self.about.key:
                raise InputError(
                    f"`url` {self.url or self.folder} holds vectors of another model, gallery or "
                    "landmarks: give another place."
                )
            self._opened = table
        return self._opened

    def _locked(self):
        """Waits for other writers, and keeps them waiting while a block runs."""
        place = self._place
        if not isinstance(place, Path):
            return locked(self.folder)
        place.mkdir(parents=True, exist_ok=True)
        return locked(place)

    # === Items ==================================================================================

    @property
    def dim(self) -> int | None:
        """Width of the vectors."""
        return None if self._table is None else widths(self._table.schema)[0]

    @property
    def columns(self) -> dict[str, str]:
        """Types by name."""
        return {} if self._table is None else columns_of(self._table.schema)

    @property
    def is_exact(self) -> bool:
        """Whether `search` never misses an item."""
        return "vector" not in self._indices

    @property
    def _indices(self) -> dict[str, str]:
        """The kind of index of each column that has one."""
        there = [] if self._table is None else self._table.list_indices()
        return {name: each.index_type for each in there for name in each.columns}

    @property
    def _chosen(self) -> dict[str, int]:
        """How many `cells` are read, and how many `items` there were when that was chosen."""
        told = self._table.schema.field("vector").metadata or {}
        return json.loads(told.get(CHOSEN.encode(), "{}"))

    def count(self, where: Where | None = None) -> int:
        """How many items fulfil a condition."""
        return self._table.count_rows(where and sql(where)) if self._table is not None else 0

    def add(self, items: StoredItems):
        """Adds items; see `Store`."""
        self._write(items, replaces=False)

    def upsert(self, items: StoredItems):
        """Adds and replaces items; see `Store`."""
        self._write(items, replaces=True)

    def _write(self, items: StoredItems, replaces: bool):
        there = self._table
        dim, embedding_dim = (None, None) if there is None else widths(there.schema)
        items, columns = checked(items, dim, embedding_dim, self.columns)
        if not len(items):
            return
        if there is None and not (self.folder / INDEX).exists():
            check_free(self.folder)
            write_folder(self.folder, self.name, self.about, {"url": self.url})
        with self._locked():
            there = self._table
            if there is None:  # One that holds nothing is false.
                there = self._made(items)
            known = columns_of(there.schema)
            if new := {name: kind for name, kind in columns.items() if name not in known}:
                there.add_columns(new_fields(new))
            rows = table_of(items, there.schema)
            merge = there.merge_insert("id").when_not_matched_insert_all()
            if replaces:
                merge = merge.when_matched_update_all()
            else:
                check_new(self._there(items.ids))
            merge.execute(rows)
            self._tidy()

    def _tidy(self):
        """Joins the files of many small writes now and then, and makes cells of a store that grew.

        What was written stays written, whether this can be done or not.
        """
        if self._tidied not in (None, self._table.version // VERSIONS):
            try:
                if self.is_exact:
                    self._index()
                self._join()
                self._choose_cells()
            except Exception:
                LOG.warning("%s cannot be put in order now.", self.folder, exc_info=True)
        self._tidied = self._table.version // VERSIONS

    def _made(self, items: StoredItems):
        """The table, made for its first items."""
        widths = items.vectors.shape[1], 0 if items.embeddings is None else items.scored.shape[1]
        schema = schema_of(*widths).with_metadata({"key": self.about.key})
        self._database.create_table(TABLE, schema=schema, exist_ok=True)
        return self._table

    def delete(self, ids: Sequence[str]) -> int:
        """Removes items; see `Store`."""
        if self._table is None:
            return 0
        with self._locked():
            there = self._there(ids)  # Else a version would be written where there are none.
            if not there:
                return 0
            deleted = self._table.delete(ids_in(there)).num_deleted_rows  # One write for all.
            self._tidy()
        return deleted

    def _there(self, ids: Sequence[str]) -> list[str]:
        """Those of some ids that are there."""
        found = {
            name
            for some in _parts(ids)
            for name in self._asked(some).select(["id"]).to_arrow()["id"].to_pylist()
        }
        return [name for name in ids if name in found]

    def _asked(self, ids: Sequence[str]):
        return self._table.search().where(ids_in(ids))

    def get(self, ids: Sequence[str]) -> StoredItems:
        """The items of these ids; see `Store`."""
        if self._table is None:
            return StoredItems([], np.empty((0, 0), np.float32))
        import pyarrow as pa

        parts = [self._asked(some).to_arrow() for some in _parts(ids)]
        found = items_of(pa.concat_tables([self._table.schema.empty_table(), *parts]))
        rows = {name: row for row, name in enumerate(found.ids)}
        return found.take([rows[name] for name in ids if name in rows])

    def items(self, where: Where | None = None) -> Iterator[StoredItems]:
        """All items that fulfil a condition, each batch as it is when its turn comes.

        Whoever takes hours over them needs no version that long.
        """
        if self._table is None:
            return
        query = self._table.search().select(["id"])
        if where is not None:
            query = query.where(sql(where))
        ids = query.to_arrow()["id"]
        for start in range(0, len(ids), BATCH):
            yield self.get(ids[start : start + BATCH].to_pylist())

    def search(
        self,
        queries: np.ndarray,
        k: int,
        where: Where | None = None,
        minimum: float = -np.inf,
    ) -> list[Hits]:
        """The items with the largest dot products; see `Store`."""
        queries = check_vectors(queries, "queries", self.dim)
        if self._table is None:
            return [Hits.none() for _ in queries]
        cells = None if self.is_exact else self._chosen.get("cells", PROBED)
        return [self._found(query, k, where, minimum, cells) for query in queries]

    def _found(
        self, query: np.ndarray, k: int, where: Where | None, minimum: float, cells: int | None
    ) -> Hits:
        """What a search finds in so many cells; of all vectors, where there are none."""
        search = self._table.search(query).distance_type("dot").limit(k)
        search = search.select(["id", "_distance"])
        if where is not None:
            search = search.where(sql(where), prefilter=True)
        if cells:
            refined = max(REFINED, math.ceil(AT_LEAST / k))
            search = search.nprobes(cells + k // WANTED).refine_factor(refined)
            search = search.ef(max(SEEN, 2 * k))
            if where is not None:
                search = search.maximum_nprobes(0)  # More cells where these hold too few: slower.
        found = search.to_arrow()
        if cells and len(found) < k and where is None:
            found = search.maximum_nprobes(0).to_arrow()
        scores = 1 - found["_distance"].to_numpy()
        chosen = np.flatnonzero(scores >= minimum)
        ids = found["id"].to_pylist()
        return Hits([ids[row] for row in chosen], scores[chosen])

    def some(self, most: int) -> list[str]:
        """Ids from all over the store; see `Store`."""
        count = self.count()
        rows = sorted({count * number // most for number in range(most)}) if count else []
        if not rows:
            return []
        return self._table.take_offsets(rows).select(["id"]).to_arrow()["id"].to_pylist()

    # === Files ==================================================================================

    def optimize(self):
        """Makes or completes the cells, joins small files, and drops old versions."""
        if self._table is not None:
            self._index()
            with self._locked():
                self._join()
            self._choose_cells()

    def _choose_cells(self):
        """Chooses how many cells are read, where they are new or the gallery has grown."""
        count = self.count()
        if self.is_exact or count <= GROWTH * self._chosen.get("items", 0):
            return
        queries = sums(self.get(self.some(2 * ASKED)).vectors)

        def search(cells: int) -> np.ndarray:
            found = (self._found(query, BEST, None, -np.inf, cells) for query in queries)
            return np.stack([each.scores for each in found])

        cells = enough_cells(self._exact(queries), search, PROBED, count // CELL + 1)
        self._keep_chosen(json.dumps({"cells": cells, "items": count}))

    def _keep_chosen(self, told: str | None):
        """Keeps beside the vectors what `_chosen` reads, or removes it."""
        self._table.update_field_metadata({"path": "vector", "metadata": {CHOSEN: told}})

    def _exact(self, queries: np.ndarray) -> np.ndarray:
        """The largest dot products with all vectors, `[n, BEST]`, best first.

        LanceDB takes a second for each query, of 300,000 vectors 512 wide.
        """
        top = np.full((len(queries), BEST), -np.inf, np.float32)
        for batch in self._table.search().select(["vector"]).to_batches(BATCH):
            scores = queries @ vectors_of(batch).T
            _, top = best(np.concatenate([top, scores], axis=1), BEST)
        return top

    def _join(self):
        """Joins small files, completes the indices and drops old versions.

        What takes the place of old files is on the disk before they are removed: LanceDB leaves
        that to the system.
        """
        self._table.optimize(cleanup_older_than=NEVER)
        if isinstance(self._place, Path):
            sync_changes(self._place, 0.0)
        self._table.optimize(cleanup_older_than=KEPT)

    def _index(self):
        """Makes the indices that are not there, or are of an earlier version."""
        from lancedb.index import IvfRq, IvfSq

        indices, count = self._indices, self.count()
        if "id" not in indices:
            self._table.create_scalar_index("id")
        # Codes of bits are made of whole bytes alone; narrow vectors are fast as bytes, too.
        kind, bits = (IvfSq, {}) if self.dim % 8 else (IvfRq, {"num_bits": BITS})
        # Of earlier versions the index is a graph.
        if count > EXACT and indices.get("vector") != kind.__name__:
            cells = kind(
                distance_type="dot",
                num_partitions=count // CELL + 1,
                max_iterations=ROUNDS,
                sample_rate=SAMPLED,
                **bits,
            )
            self._table.create_index("vector", config=cells)
            self._keep_chosen(None)  # What was chosen is of the index that they replace.

    def snapshot(self, folder: Path):
        """Writes all items to a folder of their own; see `Store`."""
        check_free(folder)
        with whole_folder(folder) as partial:
            write_folder(partial, self.name, self.about, {"url": None})
            copy = LanceStore(self.about, partial)
            batches = () if self._table is None else self._table.search().to_batches(BATCH)
            for batch in batches:
                copy.upsert(items_of(batch))


def _parts(ids: Sequence[str]) -> list[list[str]]:
    """Ids in parts that one condition can name, each once."""
    names = list(filter(is_id, dict.fromkeys(ids)))
    return [names[i : i + LOOKED_UP] for i in range(0, len(names), LOOKED_UP)]
