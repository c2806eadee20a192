"""Where an index keeps its vectors and finds the largest dot products among them.

A new store is one file with a class as `Store` describes it, and its line in `STORES`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from tfxmodal.search.stores.faiss_codes import FaissCodes
from tfxmodal.search.stores.faiss_store import FaissStore


class Store(Protocol):
    """Vectors, numbered from 0 as they were added, and searched for large dot products.

    Attributes:
        name: By which `STORES` knows it, and an index that was saved.
    """

    name: str

    def __len__(self) -> int:
        """Vectors that are in it."""

    @property
    def is_exact(self) -> bool:
        """Whether `search` never misses a vector."""

    @property
    def settings(self) -> dict:
        """What `read` needs beside the folder, for JSON."""

    def add(self, vectors: np.ndarray):
        """Adds `[n, d]` float32, or of binary codes their bytes."""

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers `[q, k]` of the vectors whose dot products with queries `[q, d]` are largest.

        They come in no certain order; k is at most as many as there are.
        """

    def write(self, folder: Path):
        """Writes the vectors into an index's folder."""

    @classmethod
    def read(cls, folder: Path, **settings) -> Store:
        """Opens what `write` wrote; damaged files raise RuntimeError, OSError or ValueError."""


STORES: dict[str, type[Store]] = {
    "faiss": FaissStore,
    "faiss_codes": FaissCodes,
}
