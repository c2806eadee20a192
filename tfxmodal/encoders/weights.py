"""Weights of a network: where they start, their hash, their file."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tfxmodal.lazy import keras

DAMAGED = (KeyError, OSError, RuntimeError, ValueError)
"""What Keras and h5py raise where a file of weights is damaged or of another network."""


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Networks that are built in the block start from the weights of a seed.

    Keras draws the seed of each initialiser from Python's random numbers, which afterwards go on as
    if nothing had been drawn.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def hash_weights(model: keras.Model) -> str:
    """A hash of a model's weights, in their order."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()[:16]


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes a model's weights to `NAME.weights.h5`, whole or not at all.

    Raises:
        OSError: If there is no room for them.
    """
    size = sum(weight.numpy().nbytes for weight in model.weights)
    # Keras insists on the name's ending.
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        # HDF5 ends the whole process on a full disk: the room is asked for before.
        with open(Path(scratch) / "room", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
            os.unlink(file.name)
        model.save_weights(Path(scratch) / path.name)
        os.replace(Path(scratch) / path.name, path)
