"""Brings features to the scale that the networks' initial weights expect."""

import keras
import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.errors import choose

SCALINGS = ("none", "rms", "standard")


def feature_scaling(features: Features, how: str, chunk: int = 4096) -> keras.layers.Layer:
    """A layer fitted on the training features, so that it is saved and exported with the model.

    Args:
        features: Training features `[n, dim]`, read in chunks.
        how: `"none"`; `"rms"`, all columns divided by one number, the root of the mean square,
            which keeps their proportions (PCA); `"standard"`, each column to mean 0, variance 1.
        chunk: Rows read at a time.

    Returns:
        The layer; the identity for `"none"`.

    Raises:
        InputError: If `how` is unknown.
    """
    choose("scaling", how, SCALINGS)
    if how == "none":
        return keras.layers.Identity()
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for start in range(0, len(features), chunk):
        rows = np.asarray(features[start : start + chunk], np.float64)
        total += rows.sum(axis=0)
        squares += (rows**2).sum(axis=0)
    mean, square = total / len(features), squares / len(features)
    if how == "rms":
        scale = 1 / max(square.mean() ** 0.5, 1e-12)
        return Scaling(np.zeros_like(mean), np.full_like(mean, scale))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    # A constant column says nothing: it is centred and left at zero.
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
    return Scaling(mean, scale)


@keras.saving.register_keras_serializable("tfxmodal")
class Scaling(keras.layers.Layer):
    """`(x - mean) * scale`, column by column; the numbers are weights that are not trained."""

    def __init__(self, mean, scale, **kwargs):
        super().__init__(**kwargs)
        self._start = np.asarray(mean, np.float64), np.asarray(scale, np.float64)

    def build(self, input_shape):
        """Makes the two weights `[dim]`."""
        for name, value in zip(("mean", "scale"), self._start, strict=True):
            weight = self.add_weight(
                shape=value.shape, initializer="zeros", trainable=False, name=name
            )
            weight.assign(value)
            setattr(self, name, weight)

    def call(self, inputs):
        """Features `[..., dim]`, scaled."""
        return (inputs - self.mean) * self.scale
