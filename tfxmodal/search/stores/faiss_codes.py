"""FAISS: the Hamming distances to all binary codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfxmodal.search.stores.faiss_store import FILE, written


class FaissCodes:
    """Packed codes in memory, in a file beside the index; see `search.stores.Store`.

    Its vectors are bytes, `[n, bits / 8]` uint8. The dot product of two codes falls as their
    Hamming distance rises; of equal distances the earlier codes are found.
    """

    name = "faiss_codes"
    is_exact = True
    settings: dict = {}

    def __init__(self):
        self._faiss = None

    def __len__(self) -> int:
        return self._faiss.ntotal if self._faiss else 0

    def add(self, vectors: np.ndarray):
        """Adds `[n, bits / 8]` uint8, numbered on from those there are."""
        import faiss

        if self._faiss is None:
            self._faiss = faiss.IndexBinaryFlat(8 * vectors.shape[1])
        self._faiss.add(np.ascontiguousarray(vectors))

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers `[q, k]` of the nearest codes, in no certain order."""
        return self._faiss.search(np.ascontiguousarray(queries), k)[1]

    def write(self, folder: Path):
        """Writes the codes to a file; none where there are none.

        Raises:
            OSError: If it cannot be written.
        """
        import faiss

        if len(self):
            written(faiss.write_index_binary, self._faiss, folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> FaissCodes:
        """Reads what `write` wrote.

        Raises:
            RuntimeError: If the file is damaged.
        """
        import faiss

        store = cls()
        if (folder / FILE).exists():
            store._faiss = faiss.read_index_binary(str(folder / FILE))
        return store
