"""Retrieval over large galleries: an index finds candidates, the scorer scores them exactly."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError, choose, first_line, some_of
from tfxmodal.io.atomic import recover_folder, whole_folder
from tfxmodal.io.reading import read_arrays
from tfxmodal.retrieval.scorer import Scorer, best
from tfxmodal.search.codes import CodeSpace
from tfxmodal.search.landmarks import DotSpace, LandmarkSpace, oriented_score
from tfxmodal.search.stores import STORES, Store

GALLERIES = ("texts", "images")

FEWEST = 256
"""Candidates that are re-scored at least: of a small gallery a share is too few."""

BLOCK = 2**17  # candidates held at a time

SAME = 0.01
"""Largest relative distance of two embeddings of the same content, by other rounding."""

RENAMED = {"anchors": "landmarks"}
"""Arrays of indexes of earlier versions, and what they are called now."""


class Index:
    """A gallery of texts, searched by images, or of images, searched by texts.

    Embeddings are the scorer's; a higher score is a better match. Items are numbered as they were
    added, and of equal scores the earlier goes first. `tfxmodal.search.new_index` makes one.

    Args:
        scorer: Scores the candidates.
        fingerprint: Names the scorer's weights; no other model can open the index.
        gallery: `texts` or `images`.
        space: Maps items and queries to vectors whose dot products follow the scores.
        store: Keeps and searches these vectors.
        rescore: Share of the gallery, 0 to 1, that is scored exactly for each query (but at least
            `FEWEST` items); 1 searches nothing and scores everything.

    Raises:
        InputError: If the gallery is unknown or `rescore` is not in 0..1.
    """

    def __init__(
        self,
        scorer: Scorer,
        fingerprint: str,
        gallery: str,
        space: LandmarkSpace | DotSpace,
        store: Store,
        rescore: float = 0.005,
    ):
        choose("gallery", gallery, GALLERIES)
        if not 0 <= rescore <= 1:
            raise InputError(f"`rescore` is a share of the gallery, 0 to 1; received {rescore}.")
        self.fingerprint, self.gallery, self.rescore = fingerprint, gallery, rescore
        self.ids: list[str] = []
        self._places: dict[str, int] = {}  # the row of each id
        empty = np.empty((0, space.dim or 0), np.float32)
        self._rows = space.packed(empty)  # may have room behind the gallery
        if gallery == "texts":
            self._top_k, self._score_listed = scorer.top_k, scorer.score_listed
        else:
            self._top_k = scorer.top_k_images
            self._score_listed = lambda queries, items, query, item: scorer.score_listed(
                items, queries, item, query
            )
        self._space, self._store = space, store

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def embeddings(self) -> np.ndarray:
        """The gallery's embeddings `[n, d]`, float32, on disk after `load`."""
        return self._embeddings(slice(len(self)))

    def _embeddings(self, rows) -> np.ndarray:
        return self._space.unpacked(self._rows[rows])

    @property
    def is_exact(self) -> bool:
        """Whether `search` ranks as the scorer does over the whole gallery."""
        by_vectors = self._space.is_exact and self._store.is_exact
        return by_vectors or self.candidates(1) == len(self)

    def add(self, ids: Sequence[str], embeddings: np.ndarray, progress=None) -> int:
        """Adds the items that are not there yet: all of them or, if something is wrong, none.

        Args:
            ids: The user's names of the items. One that is there with the same embedding is passed
                over.
            embeddings: `[n, d]` of the gallery's modality.
            progress: Wraps an iterable, as tqdm does.

        Returns:
            How many were added.

        Raises:
            InputError: If an id is given twice or is there with another embedding, or embeddings
                are not finite or do not fit.
        """
        embeddings = self._checked(embeddings, "embeddings")
        if len(ids) != len(embeddings):
            raise InputError(
                f"Each item needs an id; received {len(ids)} ids for {len(embeddings)} embeddings."
            )
        ((name, times),) = Counter(ids).most_common(1) or [("", 0)]
        if times > 1:
            raise InputError(f"The id {name!r} is given {times} times: give each item its own.")
        new = np.array([name not in self._places for name in ids], bool)
        if not new.all():
            self._check_unchanged([name for name in ids if name in self._places], embeddings[~new])
        if not new.any():
            return 0
        embeddings = embeddings[new]
        self._store.add(self._space.of_items(embeddings, progress))
        self._rows = _appended(self._rows, len(self), self._space.packed(embeddings))
        added = [name for name in ids if name not in self._places]
        self._places |= {name: row for row, name in enumerate(added, start=len(self))}
        self.ids += added
        return len(added)

    def _check_unchanged(self, ids: list[str], embeddings: np.ndarray):
        """Checks that items that are there have the embeddings that they had."""
        before = self._embeddings([self._places[name] for name in ids])
        moved = np.linalg.norm(embeddings - before, axis=1)
        changed = np.flatnonzero(moved > SAME * np.linalg.norm(before, axis=1))
        if len(changed):
            first = some_of([repr(ids[row]) for row in changed])
            raise InputError(
                f"{len(changed)} items are in the index with other content ({first}), and "
                "nothing was added: give them other ids, or build the index again in a new folder."
            )

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best items for each query.

        Args:
            queries: Embeddings `[q, d]` of the other modality.
            k: Items wanted of each; cut to the gallery's size.

        Returns:
            ids `[q, k]`, best first, and their scores `[q, k]` by the scorer.

        Raises:
            InputError: If `k` is not positive, or queries are not finite or do not fit.
        """
        if k < 1:
            raise InputError(f"`k` must be at least 1; received {k}.")
        queries = self._checked(queries, "queries")
        k, count = min(k, len(self)), self.candidates(k)
        if not len(self):
            rows, scores = np.empty((len(queries), 0), int), np.empty((len(queries), 0), np.float32)
        elif count == len(self):
            rows, scores = self._top_k(queries, self.embeddings, k)
        else:
            step = max(1, BLOCK // count)
            starts = range(0, max(1, len(queries)), step)  # one empty block gives [0, k]
            parts = [self._best(queries[i : i + step], k, count) for i in starts]
            rows, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        names = [self.ids[row] for row in rows.ravel()]
        return np.array(names, str).reshape(rows.shape), scores

    def _best(self, queries: np.ndarray, k: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and exact scores, `[q, k]` each, of the best of `count` candidates."""
        vectors = self._space.of_queries(queries)
        found = np.sort(self._store.search(vectors, count), axis=1)
        query = np.repeat(np.arange(len(queries)), count)
        items, item = np.unique(found.ravel(), return_inverse=True)
        scores = self._score_listed(queries, self._embeddings(items), query, item)
        columns, scores = best(scores.reshape(found.shape), k)
        return np.take_along_axis(found, columns, axis=1), scores

    def candidates(self, k: int) -> int:
        """Items that are scored exactly for each query, to find the best `k`."""
        share = int(np.ceil(self.rescore * len(self)))
        return min(len(self), max(share, k, FEWEST))

    def _checked(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Embeddings as float32, finite and of the model's width."""
        rows = np.asarray(rows, np.float32)
        width = self._embeddings(slice(0)).shape[1] or rows.shape[-1]
        if rows.ndim != 2 or rows.shape[1] != width:
            raise InputError(
                f"`{name}` must be [n, {width}], as wide as this model's embeddings; received "
                f"shape {rows.shape}: embed them with the model that the index was made with."
            )
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise InputError(
                f"`{name}` must be finite; row {np.argmin(finite)} is not: look for NaN in the "
                "features or weights."
            )
        return rows

    def save(self, folder: str | Path):
        """Writes the index to a folder, in place of an index that is there.

        Raises:
            InputError: If the folder holds something else.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / "index.json").exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no index: name another folder.")
        info = {
            "fingerprint": self.fingerprint,
            "gallery": self.gallery,
            "rescore": self.rescore,
            "store": self._store.name,
            "settings": self._store.settings,
            "ids": self.ids,
        }
        with whole_folder(folder) as partial:
            np.save(partial / "embeddings.npy", self._rows[: len(self)])
            np.savez(partial / "space.npz", **self._space.arrays)
            self._store.write(partial)
            (partial / "index.json").write_text(json.dumps(info), "utf-8")

    @classmethod
    def load(cls, folder: str | Path, scorer: Scorer, fingerprint: str) -> "Index":
        """Opens what `save` wrote; the embeddings stay on disk.

        Args:
            folder: The index.
            scorer: The model's.
            fingerprint: The model's.

        Raises:
            InputError: If the folder holds no whole index, or another model's.
        """
        folder = Path(folder)
        recover_folder(folder)
        try:
            info = json.loads((folder / "index.json").read_text("utf-8"))
            # Earlier versions had one store, and called its settings so.
            name, settings = info.get("store", "faiss"), info.get("settings", info.get("nearest"))
            choose("store of the index", name, STORES)
            store = STORES[name].read(folder, **settings)
            if len(store) != len(info["ids"]):
                raise ValueError(f"{len(store)} vectors of {len(info['ids'])} items")
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = first_line(error)
            raise InputError(
                f"{folder} holds no whole index ({reason}): build it with trainers/build_index.py."
            ) from error
        if info["fingerprint"] != fingerprint:
            raise InputError(
                f"The index {folder} was made with the model {info['fingerprint']}, and this is "
                f"{fingerprint}: give the run that made it, or build it again."
            )
        arrays = read_arrays(folder / "space.npz")
        arrays = {RENAMED.get(name, name): array for name, array in arrays.items()}
        space = CodeSpace() if scorer.is_hamming else DotSpace()
        if arrays:
            space = LandmarkSpace(oriented_score(scorer, info["gallery"]), **arrays)
        index = cls(scorer, fingerprint, info["gallery"], space, store, info["rescore"])
        index.ids = info["ids"]
        index._places = {name: row for row, name in enumerate(index.ids)}
        index._rows = read_arrays(folder / "embeddings.npy")["embeddings"]
        return index


def _appended(buffer: np.ndarray, used: int, rows: np.ndarray) -> np.ndarray:
    """A buffer with rows behind those in use; it grows by halves, so that adding few is cheap."""
    n = used + len(rows)
    if n > len(buffer) or not buffer.flags.writeable:
        before = buffer[:used].reshape(used, rows.shape[1])
        buffer = np.empty((n + n // 2, rows.shape[1]), rows.dtype)
        buffer[:used] = before
    buffer[used:n] = rows
    return buffer
