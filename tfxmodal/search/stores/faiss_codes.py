"""FAISS: the Hamming distances to all binary codes, packed to bytes, a 32nd of their floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfxmodal.retrieval.faiss_package import load_faiss


class FaissCodes:
    """Binary codes in memory, as `FaissVectors`: unit vectors of numbers of one size.

    The dot product of two codes is 1 - 2 Hamming / bits; of equal ones the earlier codes are found.
    """

    is_exact = True
    settings: dict = {}

    def __init__(self, codes: np.ndarray | None = None):
        self._codes = np.empty((0, 0), np.uint8) if codes is None else codes  # [n, bits / 8]

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, vectors: np.ndarray):
        """Adds `[n, bits]`, numbered on from those there are."""
        packed = np.packbits(vectors > 0, axis=1)
        self._codes = np.concatenate([self._codes, packed]) if len(self) else packed

    @property
    def dim(self) -> int | None:
        """Bits of a code; None where there are none yet."""
        return 8 * self._codes.shape[1] or None

    def vectors(self, rows) -> np.ndarray:
        """Some codes, by their numbers: unit vectors `[..., bits]`."""
        bits = np.unpackbits(self._codes[rows], axis=-1).astype(np.float32)
        return (2 * bits - 1) / np.sqrt(np.float32(max(1, bits.shape[-1])))

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and dot products, `[q, k]` each, best first; see `FaissVectors.search`."""
        faiss = load_faiss()

        rows = slice(None) if allowed is None else np.flatnonzero(allowed)
        # A slice is no copy of the gallery.
        asked, codes = np.packbits(queries > 0, axis=1), np.ascontiguousarray(self._codes[rows])
        differ, found = faiss.knn_hamming(asked, codes, k)
        order = np.lexsort((found, differ), axis=1)
        differ, found = (np.take_along_axis(each, order, axis=1) for each in (differ, found))
        found = found if allowed is None else rows[found]
        return found, (1 - 2 * differ / queries.shape[1]).astype(np.float32)

    def write(self, path: Path):
        """Writes the codes to a file."""
        with open(path, "wb") as file:
            np.save(file, self._codes)

    @classmethod
    def read(cls, path: Path) -> FaissCodes:
        """Reads what `write` wrote.

        Raises:
            OSError, ValueError: If the file is missing or damaged.
        """
        return cls(np.load(path, allow_pickle=False))
