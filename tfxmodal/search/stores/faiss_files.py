"""The files of FAISS' store; those of a write have its number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tfxmodal.io.atomic import whole_file
from tfxmodal.io.reading import read_arrays

ITEMS, VECTORS, EMBEDDINGS = "items-{}.json", "vectors-{}.faiss", "embeddings-{}.npy"
"""Files of a write, by its number: what other processes have opened stays as it is."""

EARLIER = "embeddings.npy", "vectors.faiss"
"""Those of a version that kept ids in `index.json`, and of binary codes the bytes as embeddings."""


def write_files(folder: Path, number: int, told: dict, vectors, embeddings: np.ndarray | None):
    """Writes the files of a write.

    Args:
        folder: The index.
        number: Of the write.
        told: What `items-NUMBER.json` tells: ids, rows of deleted items, columns and metadata.
        vectors: `FaissVectors` or `FaissCodes`.
        embeddings: What the model scores, where that is not the vectors.
    """
    vectors.write(folder / VECTORS.format(number))
    if embeddings is not None:
        with whole_file(folder / EMBEDDINGS.format(number)) as file:
            np.save(file, embeddings)
    with whole_file(folder / ITEMS.format(number)) as file:
        file.write(json.dumps(told).encode())


def read_files(
    folder: Path, settings: dict, kind: type, has_embeddings: bool
) -> tuple[dict, object, np.ndarray | None]:
    """What `write_files` was given, or an index of an earlier version holds.

    Args:
        folder: The index.
        settings: From its `index.json`.
        kind: `FaissVectors` or `FaissCodes`.
        has_embeddings: Whether there are embeddings beside the vectors; they stay on disk.
    """
    told = {"ids": settings.get("ids", []), "deleted": [], "columns": {}, "metadata": {}}
    embeddings, floats = EARLIER
    vectors = embeddings if settings.get("codes") else floats
    if number := settings.get("written"):
        told = json.loads((folder / ITEMS.format(number)).read_text("utf-8"))
        vectors, embeddings = (each.format(number) for each in (VECTORS, EMBEDDINGS))
    if not told["ids"]:
        return told, kind(), None
    given = {name: settings[name] for name in kind().settings if name in settings}
    vectors = kind.read(folder / vectors, **given)
    if not has_embeddings:
        return told, vectors, None
    (found,) = read_arrays(folder / embeddings).values()
    return told, vectors, found


def remove_earlier(folder: Path, number: int):
    """Removes the files of writes before one; who has opened them keeps them."""
    kept = {each.format(number) for each in (ITEMS, VECTORS, EMBEDDINGS)}
    for pattern in (ITEMS, VECTORS, EMBEDDINGS, *EARLIER):
        for path in folder.glob(pattern.format("[0-9]*")):
            if path.name not in kept:
                path.unlink()


def appended(buffer: np.ndarray, used: int, rows: np.ndarray) -> np.ndarray:
    """A buffer with rows behind those in use; it grows by halves, so that adding few is cheap."""
    n = used + len(rows)
    if n > len(buffer) or not buffer.flags.writeable:
        before = buffer[:used].reshape(used, rows.shape[1])
        buffer = np.empty((n + n // 2, rows.shape[1]), rows.dtype)
        buffer[:used] = before
    buffer[used:n] = rows
    return buffer
