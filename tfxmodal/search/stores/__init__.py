"""Where an index keeps its items and finds the largest dot products among their vectors.

Nothing here knows a model or how it was trained: vectors, ids, metadata and the name of a model are
all. A new store is one file with a class as `Store` describes it, and its line in `STORES`.
"""

from __future__ import annotations

from pathlib import Path

from tfxmodal.errors import InputError, choose, first_line
from tfxmodal.io.reading import DAMAGE
from tfxmodal.search.stores.faiss_store import FaissStore
from tfxmodal.search.stores.folder import read_folder
from tfxmodal.search.stores.lancedb_store import LanceStore
from tfxmodal.search.stores.qdrant_store import QdrantStore
from tfxmodal.search.stores.store import About, Hits, Store, StoredItems
from tfxmodal.search.stores.where import parse

__all__ = ["STORES", "About", "FaissStore", "Hits", "Store", "StoredItems", "open_store", "parse"]

STORES: dict[str, type[Store]] = {
    "faiss": FaissStore,
    "lancedb": LanceStore,
    "qdrant": QdrantStore,
}


def open_store(folder: str | Path, fingerprint: str) -> Store:
    """The store of an index's folder.

    Args:
        folder: The index.
        fingerprint: Names the model whose vectors it must hold, see `About`.

    Raises:
        InputError: If the folder holds no whole index, or another model's, or the store cannot be
            reached.
    """
    folder = Path(folder)
    try:
        name, about, _ = read_folder(folder)
        choose("store of the index", name, STORES)
        store = STORES[name].open(folder)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{folder} holds no whole index ({first_line(error)}): build it with "
            "trainers/build_index.py."
        ) from error
    if about.fingerprint != fingerprint:
        raise InputError(
            f"The index {folder} was made with the model {about.fingerprint}, and this is "
            f"{fingerprint}: give the run that made it, or build it again."
        )
    return store
