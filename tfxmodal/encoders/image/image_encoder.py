"""What every image tower is, and how features are extracted by one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tfxmodal.lazy import keras, tf


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """A network from pictures to features.

    Attributes:
        name: The name by which `--image-tower` knows it.
        model: RGB float32 in 0..255, `[batch, crop, crop, 3]`, to features `[batch, dim]`. The
            normalisation is part of it, so that an export needs nothing else.
        resize: Side to which pictures are resized before the crop, in pixels.
        crop: Side of the centre crop, in pixels: the model's input.
        preprocessing: The normalisation in words, for the cache's manifest.
        weights_hash: A hash of the weights (see `hash_weights`).
    """

    name: str
    model: keras.Model
    resize: int
    crop: int
    preprocessing: str
    weights_hash: str

    @property
    def dim(self) -> int:
        """Width of the features."""
        return self.model.output_shape[-1]

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the features of a picture."""
        parts = (self.name, self.resize, self.crop, self.preprocessing, self.weights_hash)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @cached_property
    def _forward(self):
        spec = tf.TensorSpec([None, self.crop, self.crop, 3], tf.float32)
        return tf.function(lambda images: self.model(images, training=False), [spec])


def extract(tower: ImageEncoder, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Features of pictures, by a graph compiled once a tower.

    Args:
        tower: The network.
        images: RGB 0..255, `[n, crop, crop, 3]`.
        batch_size: Pictures at a time.

    Returns:
        Features `[n, dim]` float32.
    """
    features = np.empty((len(images), tower.dim), np.float32)
    for i in range(0, len(images), batch_size):
        batch = np.asarray(images[i : i + batch_size], np.float32)
        features[i : i + batch_size] = tower._forward(batch)
    return features


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes a model's weights to `NAME.weights.h5`, whole or not at all."""
    # Keras insists on the name's ending.
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        model.save_weights(Path(scratch) / path.name)
        os.replace(Path(scratch) / path.name, path)


def hash_weights(model: keras.Model) -> str:
    """A hash of a model's weights, in their order."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()[:16]
