"""Retrieval over large galleries: a store finds candidates, the scorer scores them exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.retrieval.scorer import Scorer, best
from tfxmodal.search.landmarks import DotSpace, LandmarkSpace, oriented_score
from tfxmodal.search.stores import Hits, Store, StoredItems, open_store, parse
from tfxmodal.search.stores.checks import check_vectors, checked
from tfxmodal.search.stores.store import Value
from tfxmodal.search.stores.where import Where

GALLERIES = ("texts", "images")

FEWEST = 256
"""Candidates that are re-scored at least: of a small gallery a share is too few."""

BLOCK = 2**17  # candidates held at a time

SAME = 0.01
"""Largest relative distance of two embeddings of the same content, by other rounding."""

NONE = "", -np.inf
"""In place of an id and a score, where a query finds less than another one."""


@dataclass(frozen=True)
class Changes:
    """How many items an addition added, replaced and found as they are there."""

    added: int
    replaced: int
    unchanged: int


class Index:
    """A gallery of texts, searched by images, or of images, searched by texts.

    Embeddings are the scorer's; a higher score is a better match. `tfxmodal.search.new_index` makes
    one. The scorer may ask a server: of it `score_listed`, `score` and their kin are used alone,
    and of this module and the stores nothing needs TensorFlow.

    Args:
        scorer: Scores the candidates.
        store: Keeps and searches the items' vectors. Where the score is no dot product, its `about`
            has a space, which maps items and queries to vectors whose dot products follow the
            scores, and the share of the gallery that is scored exactly for each query (at least
            `FEWEST` items; 1 searches nothing and scores everything).
    """

    def __init__(self, scorer: Scorer, store: Store):
        self.store, self._scorer = store, scorer
        self.gallery, self.rescore = store.about.gallery, store.about.rescore
        self._space: LandmarkSpace | DotSpace = DotSpace()
        if store.about.space:
            score = oriented_score(scorer, self.gallery)
            self._space = LandmarkSpace(score, **store.about.space)

    @classmethod
    def load(cls, folder: str | Path, scorer: Scorer, fingerprint: str) -> Index:
        """Opens the index of a folder; see `open_store`."""
        return cls(scorer, open_store(folder, fingerprint))

    def __len__(self) -> int:
        return self.store.count()

    @property
    def ids(self) -> list[str]:
        """The ids of all items."""
        return [name for part in self.store.items() for name in part.ids]

    @property
    def is_exact(self) -> bool:
        """Whether `search` ranks as the scorer does over the whole gallery."""
        by_vectors = self._space.is_exact and self.store.is_exact
        size = len(self)
        return by_vectors or self.candidates(1, size) == size

    def add(
        self,
        ids: Sequence[str],
        embeddings: np.ndarray,
        progress=None,
        metadata: Mapping[str, Sequence[Value]] | None = None,
    ) -> Changes:
        """Adds items, and replaces those that are there with other content or metadata.

        Of these, columns that are not given keep their values; None clears one.

        Args:
            ids: The user's names of the items.
            embeddings: `[n, d]` of the gallery's modality.
            progress: Wraps an iterable, as tqdm does.
            metadata: By column the items' values, see `StoredItems`.

        Returns:
            How many were added, replaced and left as they were: all or, if something is wrong with
            them, none.

        Raises:
            InputError: If an id is given twice, embeddings are not finite or do not fit, or
                metadata are of another type than their column.
        """
        embeddings = check_vectors(embeddings, "embeddings", self._dim)
        if len(ids) != len(embeddings):
            raise InputError(
                f"Each item needs an id; received {len(ids)} ids for {len(embeddings)} embeddings."
            )
        given = StoredItems(list(ids), embeddings, None, metadata or {})
        given, _ = checked(given, self._dim, 0, self.store.columns)
        there = self.store.get(given.ids)
        known = set(there.ids)
        rows = [row for row, name in enumerate(given.ids) if name in known]
        given = _with_values(given, rows, there)
        same = _unchanged(given.take(rows), there) if rows else np.empty(0, bool)
        changed = np.ones(len(given), bool)
        changed[np.array(rows, int)[same]] = False
        self._write(given if changed.all() else given.take(np.flatnonzero(changed)), progress)
        replaced, unchanged = int(np.sum(~same)), int(np.sum(same))
        return Changes(len(given) - len(rows), replaced, unchanged)

    def _write(self, items: StoredItems, progress):
        if len(items):
            vectors = self._space.of_items(items.vectors, progress)
            scored = items.vectors if self.store.about.space else None
            self.store.upsert(StoredItems(items.ids, vectors, scored, items.metadata))

    def delete(self, ids: Sequence[str]) -> int:
        """Removes items, and returns how many of them were there."""
        return self.store.delete(ids)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        where: str | Where | None = None,
        minimum: float = -np.inf,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items for each query.

        Args:
            queries: Embeddings `[q, d]` of the other modality; where the score is a dot product,
                of the same modality as well, whose scores are not to be compared with the other's.
            k: Items wanted of each.
            where: A condition on metadata, as in `"year > 2020 and album = 'beach'"`; see
                `search.stores.where`.
            minimum: The least score.

        Returns:
            ids `[q, found]`, best first, and their scores `[q, found]` by the scorer, where `found`
            is the most that a query found, at most `k`; a query that found less has empty ids and
            scores of -inf at its end.

        Raises:
            InputError: If `k` is not positive, queries are not finite or do not fit, or the
                condition names no column of the gallery.
        """
        if k < 1:
            raise InputError(f"`k` must be at least 1; received {k}.")
        queries = check_vectors(queries, "queries", self._dim)
        if isinstance(where, str):
            where = parse(where, self.store.columns)
        if self._space.is_exact:
            return _as_arrays(self.store.search(queries, k, where, minimum))
        size = len(self)  # Others may write meanwhile.
        count = self.candidates(k, size)
        if count == size:
            hits = self._best_of_all(queries, k, where)
        else:
            step = max(1, BLOCK // count)
            starts = range(0, len(queries), step)
            parts = (self._best(queries[i : i + step], k, count, where) for i in starts)
            hits = [each for part in parts for each in part]
        return _as_arrays([_from(minimum, each) for each in hits])

    def similar(
        self,
        embeddings: np.ndarray,
        k: int,
        where: str | Where | None = None,
        minimum: float = -np.inf,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The items that are most like others of the gallery's own modality.

        Where the score is a dot product, this is `search`. Else items are alike whose scores with
        the landmarks are, and the scores are the dot products of the stored vectors.

        Args:
            embeddings: Of the gallery's modality, `[q, d]`.
            k: See `search`, as for the others.
            where: A condition on metadata.
            minimum: The least score.
        """
        if self._space.is_exact:
            return self.search(embeddings, k, where, minimum)
        if isinstance(where, str):
            where = parse(where, self.store.columns)
        vectors = self._space.of_items(check_vectors(embeddings, "embeddings", self._dim))
        return _as_arrays(self.store.search(vectors, k, where, minimum))

    def _best(self, queries: np.ndarray, k: int, count: int, where: Where | None) -> list[Hits]:
        """The best by exact scores of `count` candidates of each query."""
        found = self.store.search(self._space.of_queries(queries), count, where)
        names = list(dict.fromkeys(name for hits in found for name in hits.ids))
        items = self.store.get(names)
        places = {name: row for row, name in enumerate(items.ids)}
        # What was deleted meanwhile is not there any more.
        ids = [[name for name in hits.ids if name in places] for hits in found]
        query = np.repeat(np.arange(len(queries)), [len(each) for each in ids])
        item = np.array([places[name] for each in ids for name in each], int)
        scores = self._score_listed(queries, items.scored, query, item)
        ends = np.cumsum([len(each) for each in ids])[:-1]
        return [_best_hits(*each, k) for each in zip(ids, np.split(scores, ends), strict=True)]

    def _best_of_all(self, queries: np.ndarray, k: int, where: Where | None) -> list[Hits]:
        """The best by the scores of all items."""
        hits = [Hits.none() for _ in queries]
        images = self.gallery == "images"
        top_k = self._scorer.top_k_images if images else self._scorer.top_k
        for part in self.store.items(where):
            rows, scores = top_k(queries, part.scored, k)
            for number, found in enumerate(rows):
                before = hits[number]
                ids = before.ids + [part.ids[row] for row in found]
                joined = np.concatenate([before.scores, scores[number]])
                hits[number] = _best_hits(ids, joined, k)
        return hits

    def _score_listed(self, queries, items, query, item) -> np.ndarray:
        if self.gallery == "texts":
            return self._scorer.score_listed(queries, items, query, item)
        return self._scorer.score_listed(items, queries, item, query)

    def candidates(self, k: int, size: int) -> int:
        """How many of `size` items are scored exactly for each query, to find the best `k`."""
        share = int(np.ceil(self.rescore * size))
        return min(size, max(share, k, FEWEST))

    @property
    def _dim(self) -> int | None:
        space = self.store.about.space
        return space["items"].shape[1] if space else self.store.dim

    def save(self, folder: str | Path):
        """Writes a copy of the index to a folder, in place of an index that is there.

        What is opened from a folder, or made in one, is there already.

        Raises:
            InputError: If the folder holds something else.
        """
        if self.store.folder is None or Path(folder).resolve() != self.store.folder.resolve():
            self.store.snapshot(Path(folder))


def _with_values(given: StoredItems, rows: Sequence[int], there: StoredItems) -> StoredItems:
    """Items with the values that those at some rows have in columns that are not given."""
    metadata = dict(given.metadata)
    for name in there.metadata.keys() - given.metadata.keys():
        known = dict(zip(rows, there.metadata[name], strict=True))
        metadata[name] = [known.get(row) for row in range(len(given))]
    return replace(given, metadata=metadata)


def _unchanged(given: StoredItems, there: StoredItems) -> np.ndarray:
    """Which of aligned items are as they are there, by embedding and metadata: bool `[n]`."""
    before = there.scored
    moved = np.linalg.norm(given.vectors - before, axis=1)
    same = moved <= SAME * np.linalg.norm(before, axis=1)
    for name, values in given.metadata.items():
        known = there.metadata.get(name, [None] * len(there))
        same &= [old == new for old, new in zip(known, values, strict=True)]
    return same


def _best_hits(ids: Sequence[str], scores: np.ndarray, k: int) -> Hits:
    """The `k` items with the highest scores, of equal ones the first."""
    columns, found = best(scores[None], k)
    return Hits([ids[column] for column in columns[0]], found[0])


def _from(minimum: float, hits: Hits) -> Hits:
    """The hits, best first, whose scores are at least a minimum."""
    found = np.count_nonzero(hits.scores >= minimum)
    return Hits(hits.ids[:found], hits.scores[:found])


def _as_arrays(found: list[Hits]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and scores `[q, most that were found]`, with `NONE` at the ends of the others."""
    most = max((len(hits.ids) for hits in found), default=0)
    ids = [hits.ids + [NONE[0]] * (most - len(hits.ids)) for hits in found]
    scores = np.full((len(found), most), NONE[1], np.float32)
    for row, hits in zip(scores, found, strict=True):
        row[: len(hits.scores)] = hits.scores
    return np.array(ids, str).reshape(scores.shape), scores
