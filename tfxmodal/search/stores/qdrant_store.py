"""The store of Qdrant: items on a server, or a cluster of servers.

Its client is imported where it is used; it is the extra `qdrant`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError, first_line
from tfxmodal.search.stores.checks import check_new, check_vectors, checked, is_id
from tfxmodal.search.stores.faiss_store import FaissStore
from tfxmodal.search.stores.folder import INDEX, check_free, read_folder, write_folder
from tfxmodal.search.stores.qdrant_rows import INDEXED, filter_of, items_of, point_of, points_of
from tfxmodal.search.stores.store import About, Hits, StoredItems
from tfxmodal.search.stores.where import Where

MEMORY = ":memory:"
"""In place of a server's address: in this process alone, for trying and testing."""

COLUMN = "column:"
"""What the name of a metadata column begins with, where the collection tells its type."""

BATCH = 512
"""Items of a request at most."""

NUMBERS = 2**19
"""Numbers that a request writes at most, some ten megabytes; a server takes 32."""


class QdrantStore:
    """For galleries of several machines; see `search.stores.Store`.

    Its folder tells where the server is, and has the landmarks of relation scores. Where the server
    asks for a key, it is that of the environment's QDRANT_API_KEY.

    Args:
        about: What it is made for.
        folder: The folder, written at the first write.
        url: The server's address and the collection, as http://HOST:6333/COLLECTION.

    Raises:
        InputError: If the client is not installed, the address has no collection, or the collection
            holds another model's vectors; of this and all methods, if the server does not answer or
            refuses what it is asked.
    """

    name, is_shared = "qdrant", True

    def __init__(self, about: About, folder: Path, url: str | None = None):
        try:
            from qdrant_client import QdrantClient
        except ImportError:
            raise InputError(
                "`store` qdrant needs the package qdrant-client: pip install '.[qdrant]'."
            ) from None
        server, _, self.collection = (url or "").rpartition("/")
        if not server or not self.collection:
            raise InputError(
                f"`url` must be http://HOST:6333/COLLECTION for the store qdrant; received {url!r}."
            )
        self.about, self.folder, self.url = about, Path(folder), url
        where = {"url": server, "timeout": 60, "api_key": os.environ.get("QDRANT_API_KEY")}
        where = {"location": MEMORY} if server == MEMORY else where
        with _told(url):
            self.client = _Server(QdrantClient(**where, check_compatibility=False), url)
        self._known: tuple[int, int] | None = None
        self._about_collection()

    @classmethod
    def open(cls, folder: Path) -> QdrantStore:
        """Opens what is in a folder."""
        _, about, settings = read_folder(folder)
        return cls(about, folder, settings["url"])

    def _about_collection(self):
        """What the server tells of the collection; None before the first write."""
        if not self.client.collection_exists(self.collection):
            return None
        found = self.client.get_collection(self.collection)
        if (found.config.metadata or {}).get("key") != self.about.key:
            raise InputError(
                f"`url` {self.url} holds vectors of another model, gallery or landmarks: give "
                "another collection."
            )
        return found

    # === Items ==================================================================================

    @property
    def dim(self) -> int | None:
        """Width of the vectors."""
        return self._widths()[0]

    def _widths(self) -> tuple[int | None, int | None]:
        """Widths of vectors and embeddings, 0 where there are none; None before the first write."""
        if self._known is None and (there := self._about_collection()):
            vectors = there.config.params.vectors
            width = vectors["embedding"].size if "embedding" in vectors else 0
            self._known = vectors["vector"].size, width
        return self._known or (None, None)

    @property
    def columns(self) -> dict[str, str]:
        """Types by name."""
        there = self._about_collection()
        told = there.config.metadata if there else {}
        return {
            name.removeprefix(COLUMN): kind
            for name, kind in told.items()
            if name.startswith(COLUMN)
        }

    @property
    def is_exact(self) -> bool:
        """Whether `search` never misses an item: the server has made no graph yet."""
        there = self._about_collection()
        return not (there and there.indexed_vectors_count)

    def count(self, where: Where | None = None) -> int:
        """How many items fulfil a condition."""
        if self.dim is None:
            return 0
        return self.client.count(self.collection, count_filter=filter_of(where), exact=True).count

    def add(self, items: StoredItems):
        """Adds items; see `Store`."""
        if len(there := self.get(items.ids)):
            check_new(there.ids)
        self.upsert(items)

    def upsert(self, items: StoredItems):
        """Adds and replaces items, in requests of some, each whole or not at all; see `Store`."""
        known = self.columns
        items, columns = checked(items, *self._widths(), known)
        if not len(items):
            return
        self._make(items, {name: kind for name, kind in columns.items() if name not in known})
        step = min(BATCH, max(1, NUMBERS // sum(self._widths())))
        for start in range(0, len(items), step):
            points = points_of(items, range(start, min(start + step, len(items))))
            self.client.upsert(self.collection, points, wait=True)

    def _make(self, items: StoredItems, columns: dict[str, str]):
        """The folder and the collection, where they are not there, and new columns in it."""
        from qdrant_client.models import Distance, HnswConfigDiff, VectorParams

        if not (self.folder / INDEX).exists():
            check_free(self.folder)
            write_folder(self.folder, self.name, self.about, {"url": self.url})
        told = {f"{COLUMN}{name}": kind for name, kind in columns.items()}
        if self.dim is None:
            vectors = {"vector": VectorParams(size=items.vectors.shape[1], distance=Distance.DOT)}
            if items.embeddings is not None:
                vectors["embedding"] = VectorParams(  # Kept, and not searched.
                    size=items.embeddings.shape[1],
                    distance=Distance.DOT,
                    on_disk=True,
                    hnsw_config=HnswConfigDiff(m=0),
                )
            told["key"] = self.about.key
            self.client.create_collection(self.collection, vectors, metadata=told)
        elif told:
            self.client.update_collection(self.collection, metadata=told)
        if self.url.startswith(MEMORY):
            return
        for name, kind in columns.items():
            self.client.create_payload_index(self.collection, name, INDEXED[kind], wait=True)

    def delete(self, ids: Sequence[str]) -> int:
        """Removes items; see `Store`."""
        from qdrant_client.models import PointIdsList

        points = [point.id for point in self._retrieved(ids)]
        if points:
            self.client.delete(self.collection, PointIdsList(points=points), wait=True)
        return len(points)

    def _retrieved(self, ids: Sequence[str], **wanted) -> list:
        """The points of some ids that are there."""
        if self.dim is None:
            return []
        points = [point_of(name) for name in dict.fromkeys(ids) if is_id(name)]
        return [
            point
            for start in range(0, len(points), BATCH)
            for point in self.client.retrieve(
                self.collection, points[start : start + BATCH], **wanted
            )
        ]

    def get(self, ids: Sequence[str]) -> StoredItems:
        """The items of these ids; see `Store`."""
        found = self._items_of(self._retrieved(ids, with_payload=True, with_vectors=True))
        rows = {name: row for row, name in enumerate(found.ids)}
        return found.take([rows[name] for name in ids if name in rows])

    def items(self, where: Where | None = None) -> Iterator[StoredItems]:
        """All items that fulfil a condition; of those written meanwhile, some may be among them."""
        start = None
        while self.dim is not None:
            points, start = self.client.scroll(
                self.collection, filter_of(where), limit=BATCH, offset=start, with_vectors=True
            )
            if points:
                yield self._items_of(points)
            if start is None:
                return

    def some(self, most: int) -> list[str]:
        """Ids from all over the store, as points are sorted by the hashes of ids; see `Store`."""
        if self.dim is None:
            return []
        points, _ = self.client.scroll(self.collection, limit=most, with_payload=["id"])
        return [point.payload["id"] for point in points]

    def _items_of(self, points: list) -> StoredItems:
        return items_of(points, *self._widths(), self.columns)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        where: Where | None = None,
        minimum: float = -np.inf,
    ) -> list[Hits]:
        """The items with the largest dot products; see `Store`."""
        from qdrant_client.models import QueryRequest

        queries = check_vectors(queries, "queries", self.dim)
        if self.dim is None:
            return [Hits.none() for _ in queries]
        chosen = filter_of(where)
        asked = [
            QueryRequest(
                query=query.tolist(), using="vector", filter=chosen, limit=k, with_payload=["id"]
            )
            for query in queries
        ]
        hits = []
        for answer in self.client.query_batch_points(self.collection, asked):
            points = [point for point in answer.points if point.score >= minimum]
            scores = np.array([point.score for point in points], np.float32)
            hits.append(Hits([point.payload["id"] for point in points], scores))
        return hits

    def optimize(self):
        """Nothing: the server does it by itself."""

    def snapshot(self, folder: Path):
        """Writes all items to a folder, as an index of FAISS; see `Store`."""
        check_free(folder)
        copy = FaissStore(self.about)
        for items in self.items():
            copy.upsert(items)
        copy.snapshot(folder)


class _Server:
    """A client whose methods tell where the server is, where it fails."""

    def __init__(self, client, url: str):
        self._client, self._url = client, url

    def __getattr__(self, name: str):
        method = getattr(self._client, name)

        def asked(*given, **named):
            with _told(self._url):
                return method(*given, **named)

        return asked


@contextmanager
def _told(url: str | None) -> Iterator[None]:
    """Raises what Qdrant's client fails with as InputError."""
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    except (ApiException, ValueError) as error:
        raise InputError(
            f"`url` {url} does not answer as Qdrant does ({first_line(error)}): start the server "
            "there, correct it, or give its key in QDRANT_API_KEY."
        ) from error
