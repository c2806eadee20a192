"""FAISS: dot products with all vectors exactly, or a scan of their four-bit codes.

FAISS is imported where it is used: flags read `KINDS` without it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np

from tfxmodal.errors import choose

FILE = "vectors.faiss"

KINDS = ("auto", "flat", "scan")
LARGE = 100_000
"""Vectors above which `auto` scans codes."""

CODED = 1000
"""Vectors from which codes can be learned; fewer are searched exactly, whatever the kind."""

REFINED = 4
"""Times as many are found by their codes as are wanted; the vectors then decide among them."""

GROWTH = 4
"""Codes learned from n vectors are learned again for more than `GROWTH * n`."""


class FaissStore:
    """Vectors in memory, in a file beside the index; see `search.stores.Store`.

    A scan reads four bits a component (product quantisation, in registers: FAISS' "fast scan") and
    then the vectors of the best. Measured on 300,000 vectors of a trained relation network, for
    the exact top 10 among 300 found: .991, four times faster than flat; cells (IVF, a tenth of
    them probed) found .978 in the same time.

    Args:
        kind: `flat` or `scan`; `auto` is flat up to `LARGE` vectors and a scan beyond.

    Raises:
        InputError: If the kind is unknown.
    """

    name = "faiss"

    def __init__(self, kind: str = "auto"):
        choose("kind of index", kind, KINDS)
        self.kind = kind
        self._faiss = None
        self._made_for = 0

    def __len__(self) -> int:
        return self._faiss.ntotal if self._faiss else 0

    @property
    def is_exact(self) -> bool:
        """Whether nothing is ever missed."""
        return not self._scans(len(self))

    def add(self, vectors: np.ndarray):
        """Adds `[n, d]` float32, numbered on from those there are."""
        old, n = len(self), len(self) + len(vectors)
        if n == old:
            return
        import faiss

        vectors = np.ascontiguousarray(vectors)
        learns = self._scans(n) and (not self._scans(old) or n > GROWTH * self._made_for)
        if old and learns:
            vectors = np.concatenate([self._vectors(), vectors])
        if not old or learns:
            self._made_for = n
            recipe = f"PQ{vectors.shape[1]}x4fs,RFlat" if learns else "Flat"
            self._faiss = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
            self._faiss.train(vectors[:: max(1, n // 2**16)])
        self._faiss.add(vectors)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers `[q, k]` of vectors in no certain order.

        Args:
            queries: `[q, d]` float32.
            k: At most as many as there are vectors.
        """
        import faiss

        options = None
        if self._scans(len(self)):
            options = faiss.IndexRefineSearchParameters(k_factor=min(REFINED, len(self) / k))
        return self._faiss.search(np.ascontiguousarray(queries), k, params=options)[1]

    @property
    def settings(self) -> dict:
        """What `read` needs beside the file, for JSON."""
        return {"kind": self.kind, "made_for": self._made_for}

    def write(self, folder: Path):
        """Writes the vectors to a file; none where there are none.

        Raises:
            OSError: If it cannot be written.
        """
        import faiss

        if len(self):
            written(faiss.write_index, self._faiss, folder / FILE)

    @classmethod
    def read(cls, folder: Path, kind: str, made_for: int) -> FaissStore:
        """Reads what `write` wrote.

        Raises:
            RuntimeError: If the file is missing or damaged.
        """
        import faiss

        store = cls(kind)
        store._made_for = made_for
        if made_for:
            store._faiss = faiss.read_index(str(folder / FILE))
        return store

    def _scans(self, n: int) -> bool:
        return n >= CODED and (self.kind == "scan" or (self.kind == "auto" and n > LARGE))

    def _vectors(self) -> np.ndarray:
        """All vectors, `[n, d]`."""
        import faiss

        index = self._faiss
        if self._scans(len(self)):
            index = faiss.downcast_index(index.refine_index)
        return index.reconstruct_n(0, len(self))


def written(write, index, path: Path):
    """Writes an index of FAISS by its function `write`.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        write(index, str(path))
    except RuntimeError as error:  # It tells the system's reason at the end.
        ends = (n for n in errno.errorcode if str(error).endswith(f"({os.strerror(n)})"))
        number = next(ends, errno.EIO)
        raise OSError(number, os.strerror(number), str(path)) from error
