"""Largest dot products by FAISS: exact, by a graph (HNSW) or by cells (IVF)."""

from pathlib import Path

import faiss
import numpy as np

from tfxmodal.errors import choose

KINDS = ("auto", "flat", "hnsw", "ivf")
LARGE = 100_000
"""Vectors above which `auto` searches by cells. Where hundreds of candidates are asked for, these
find more in less time than a graph."""

GROWTH = 4
"""A structure made for n vectors is made anew for more than `GROWTH * n`."""

PROBED = 1 / 32
"""Share of the cells that are searched."""


class Nearest:
    """Vectors, searched for the largest dot products with a query.

    Graph and cells know distances alone, and by dot products would lead to the longest vectors.
    So a vector v gets one more component, sqrt(r^2 - |v|^2), and a query u gets a zero: the nearest
    is then the one of the largest dot product (Bachrach et al., RecSys 2014). r is the longest
    vector's length when the structure is made; longer ones that come later seem farther than they
    are.

    Args:
        kind: `flat`, `hnsw` or `ivf`; `auto` is flat up to `LARGE` vectors and IVF beyond.

    Raises:
        InputError: If the kind is unknown.
    """

    def __init__(self, kind: str = "auto"):
        choose("kind of index", kind, KINDS)
        self.kind = kind
        self._faiss = None
        self._made_for, self._radius = 0, 0.0

    def __len__(self) -> int:
        return self._faiss.ntotal if self._faiss else 0

    @property
    def is_exact(self) -> bool:
        """Whether nothing is ever missed."""
        return self._structure(len(self)) == "flat"

    def add(self, vectors: np.ndarray):
        """Adds `[n, d]` float32, numbered on from those there are."""
        old, n = len(self), len(self) + len(vectors)
        if n == old:
            return
        changed = self._structure(n) != self._structure(old)
        if not old or changed or n > GROWTH * self._made_for:
            if old:
                d = vectors.shape[1]
                vectors = np.concatenate([self._faiss.reconstruct_n(0, old)[:, :d], vectors])
            self._made_for = n
            self._radius = float(np.linalg.norm(vectors, axis=1).max())
            vectors = self._lifted(vectors)
            self._faiss = _empty(self._structure(n), vectors)
        else:
            vectors = self._lifted(vectors)
        self._faiss.add(vectors)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers `[q, k]` of vectors in no certain order; -1 where fewer were found.

        Args:
            queries: `[q, d]` float32.
            k: At most as many as there are vectors.
        """
        structure, options = self._structure(len(self)), None
        if structure == "hnsw":
            options = faiss.SearchParametersHNSW(efSearch=k)
        elif structure == "ivf":
            options = faiss.SearchParametersIVF(nprobe=int(np.ceil(PROBED * self._faiss.nlist)))
        extra = self._faiss.d - queries.shape[1]
        return self._faiss.search(np.pad(queries, ((0, 0), (0, extra))), k, params=options)[1]

    @property
    def settings(self) -> dict:
        """What `read` needs beside the file, for JSON."""
        return {"kind": self.kind, "made_for": self._made_for, "radius": self._radius}

    def write(self, path: Path):
        """Writes the vectors to a file; none where there are none."""
        if len(self):
            faiss.write_index(self._faiss, str(path))

    @classmethod
    def read(cls, path: Path, kind: str, made_for: int, radius: float) -> "Nearest":
        """Reads what `write` wrote.

        Raises:
            RuntimeError: If the file is missing or damaged.
        """
        nearest = cls(kind)
        nearest._made_for, nearest._radius = made_for, radius
        if made_for:
            nearest._faiss = faiss.read_index(str(path))
        return nearest

    def _structure(self, n: int) -> str:
        if self.kind != "auto":
            return self.kind
        return "flat" if n <= LARGE else "ivf"

    def _lifted(self, vectors: np.ndarray) -> np.ndarray:
        """The vectors as the structure holds them."""
        if self._structure(self._made_for) == "flat":
            return np.ascontiguousarray(vectors)
        missing = self._radius**2 - np.square(vectors).sum(axis=1, keepdims=True)
        return np.hstack([vectors, np.sqrt(np.maximum(missing, 0))])


def _empty(structure: str, vectors: np.ndarray) -> faiss.Index:
    """A structure without vectors, learned from some."""
    if structure == "flat":
        return faiss.IndexFlatIP(vectors.shape[1])
    cells = int(np.clip(2 * np.sqrt(len(vectors)), 1, max(1, len(vectors) // 39)))
    recipe = {"hnsw": "HNSW32", "ivf": f"IVF{cells},Flat"}[structure]
    index = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_L2)
    if structure == "ivf":
        index.cp.max_points_per_centroid = 64  # a quarter of FAISS' own, in a quarter of the time
    index.train(vectors)
    return index
