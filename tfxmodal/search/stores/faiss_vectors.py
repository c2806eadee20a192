"""FAISS: dot products with all vectors exactly, or a scan of their codes.

FAISS is imported where it is used: flags read `KINDS` without it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np

from tfxmodal.errors import choose
from tfxmodal.retrieval.faiss_package import load_faiss
from tfxmodal.retrieval.scorer import best
from tfxmodal.search.stores.cells import ASKED, BEST, enough_cells, sums

KINDS = ("auto", "flat", "scan")
LARGE = 100_000
"""Vectors above which `auto` scans codes."""

CODED = 1000
"""Vectors from which codes can be learned; fewer are searched exactly, whatever the kind."""

REFINED = 4
"""Times as many are found by their codes as are wanted; the vectors then decide among them."""

NARROW = 64
"""Width up to which the codes of all vectors are read; of wider ones those of the nearest cells."""

PROBED = 64
"""Cells whose codes are read, at least; see `enough_cells`."""

GROWTH = 4
"""Codes learned from n vectors are learned again for more than `GROWTH * n`."""

MARGIN = 256
"""Vectors found beyond those that are wanted: FAISS rounds otherwise, and codes do coarsely."""

BLOCK = 2**24
"""Numbers of found vectors that are held at a time, 64 MB."""


class FaissVectors:
    """Vectors in memory, numbered from 0 as they were added.

    A scan reads codes and then the vectors of the best. Of narrow vectors, such as those of
    landmarks, it reads four bits a component (product quantisation, in registers: FAISS' "fast
    scan"). Measured on 300,000 vectors of a trained relation network, for the exact top 10 among
    300 found: .991, four times faster than flat; cells (IVF, a tenth of them probed) found .978 in
    the same time. Of wide vectors it reads a byte a component in `PROBED` of about 4 sqrt(n) cells.
    Measured on 400,000 unit vectors 512 wide, for the exact top 10: .995 in 64 cells and 2.4 ms a
    query on one core; four bits a component in as many cells needed 3.8 ms for .984. Vectors that
    lie close together need more cells.

    Args:
        kind: `flat` or `scan`; `auto` is flat up to `LARGE` vectors and a scan beyond.

    Raises:
        InputError: If the kind is unknown.
    """

    def __init__(self, kind: str = "auto"):
        choose("kind of index", kind, KINDS)
        self.kind = kind
        self._faiss = None
        self._made_for = 0
        self._probed = PROBED

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
        faiss = load_faiss()

        learns = self._scans(n) and (not self._scans(old) or n > GROWTH * self._made_for)
        if old and learns:
            vectors = np.concatenate([self.vectors(slice(None)), vectors])
        if not old or learns:
            self._made_for = n
            width = vectors.shape[1]
            codes = f"PQ{width}x4fs" if width <= NARROW else f"IVF{_cells(n)},SQ8"
            recipe = f"{codes},RFlat" if learns else "Flat"
            self._faiss = faiss.index_factory(width, recipe, faiss.METRIC_INNER_PRODUCT)
            self._faiss.train(vectors[:: max(1, n // 2**16)])
        self._faiss.add(vectors)
        if learns and vectors.shape[1] > NARROW:
            self._choose_cells()

    def _choose_cells(self):
        """Sets how many cells are read."""
        rows = np.random.default_rng(0).integers(len(self), size=2 * ASKED)
        queries = sums(self.vectors(rows))

        def search(cells: int) -> np.ndarray:
            self._probed = cells
            return self.search(queries, BEST)[1]

        exact, most = self._flat().search(queries, BEST)[0], _cells(self._made_for)
        self._probed = enough_cells(exact, search, PROBED, most)

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None where there are none yet."""
        return self._faiss.d if self._faiss else None

    def vectors(self, rows) -> np.ndarray:
        """Some vectors, by their numbers: `[..., d]`; a slice of them is not to be kept."""
        faiss = load_faiss()

        flat = self._flat()
        numbers = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        return numbers.reshape(flat.ntotal, flat.d)[rows]

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products, `[q, k]` each, best first, of equal ones the earlier.

        Args:
            queries: `[q, d]` float32.
            k: At most as many as are allowed.
            allowed: Which vectors are searched, bool `[n]`; by default all.
        """
        among = len(self) if allowed is None else int(np.count_nonzero(allowed))
        wanted, width = min(k + MARGIN, among), queries.shape[1]
        step = max(1, BLOCK // (wanted * width))
        parts = []
        for i in range(0, max(1, len(queries)), step):  # one empty block gives [0, k]
            some = queries[i : i + step]
            rows = np.sort(self._found(some, wanted, allowed), axis=1)
            scores = np.einsum("qd,qkd->qk", some, self.vectors(rows))
            columns, scores = best(scores, k)
            parts.append((np.take_along_axis(rows, columns, axis=1), scores))
        rows, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        return rows, scores

    def _found(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """Numbers `[q, k]` in no certain order."""
        n = len(self)
        if self._scans(n) and (allowed is None or 2 * np.count_nonzero(allowed) > n):
            rows = self._scanned(queries, k if allowed is None else min(n, 2 * k))
            there = rows >= 0 if allowed is None else (rows >= 0) & allowed[rows]
            order = np.argsort(~there, axis=1, kind="stable")[:, :k]
            if np.take_along_axis(there, order, axis=1).all():
                return np.take_along_axis(rows, order, axis=1)
        faiss = load_faiss()

        options = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            options = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        return self._flat().search(queries, k, params=options)[1]

    def _scanned(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers `[q, k]` by the codes, best first; -1 where the cells that are read hold less."""
        faiss = load_faiss()

        cells = None
        if self._faiss.d > NARROW:
            wanted = 2 * REFINED * k * _cells(self._made_for) // len(self)
            cells = faiss.SearchParametersIVF(nprobe=max(self._probed, wanted))
        options = faiss.IndexRefineSearchParameters(
            k_factor=min(REFINED, len(self) / k), base_index_params=cells
        )
        return self._faiss.search(queries, k, params=options)[1]

    @property
    def settings(self) -> dict:
        """What `read` needs beside the file, for JSON."""
        return {"kind": self.kind, "made_for": self._made_for, "probed": self._probed}

    def write(self, path: Path):
        """Writes the vectors to a file; none where there are none.

        Raises:
            OSError: If it cannot be written.
        """
        faiss = load_faiss()

        if not len(self):
            return
        try:
            faiss.write_index(self._faiss, str(path))
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        except RuntimeError as error:  # It tells the system's reason at the end.
            ends = (n for n in errno.errorcode if str(error).endswith(f"({os.strerror(n)})"))
            number = next(ends, errno.EIO)
            raise OSError(number, os.strerror(number), str(path)) from error

    @classmethod
    def read(cls, path: Path, kind: str, made_for: int, probed: int = PROBED) -> FaissVectors:
        """Reads what `write` wrote; an earlier version did not choose how many cells are read.

        Raises:
            RuntimeError: If the file is missing or damaged.
        """
        faiss = load_faiss()

        vectors = cls(kind)
        vectors._made_for, vectors._probed = made_for, probed
        if made_for:
            vectors._faiss = faiss.read_index(str(path))
        return vectors

    def _scans(self, n: int) -> bool:
        return n >= CODED and (self.kind == "scan" or (self.kind == "auto" and n > LARGE))

    def _flat(self):
        """The FAISS index of the vectors themselves."""
        faiss = load_faiss()

        index = self._faiss
        return faiss.downcast_index(index.refine_index) if self._scans(len(self)) else index


def _cells(n: int) -> int:
    """Cells for `n` vectors: a power of two, about 4 sqrt(n)."""
    return 2 ** round(np.log2(4 * np.sqrt(n)))
