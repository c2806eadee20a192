"""Brings features to the scale that the networks' initial weights expect."""

from __future__ import annotations

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.errors import choose
from tfxmodal.lazy import keras

SCALINGS = ("none", "unit", "center", "standard")


def feature_scaling(features: Features, how: str, chunk: int = 4096) -> keras.layers.Layer:
    """A layer fitted on the training features, so that it is saved and exported with the model.

    Args:
        features: Training features `[n, dim]`, read in chunks.
        how: `"none"`; `"unit"`, all columns divided by one number, to a mean square of 1;
            `"center"`, each column to mean 0; `"standard"`, to mean 0 and variance 1.
        chunk: Rows read at a time.

    Returns:
        The layer; the identity for `"none"`.

    Raises:
        InputError: If `how` is unknown.
    """
    choose("scaling", how, SCALINGS)
    if how == "none":
        return keras.layers.Identity()
    # Sums are of differences from a row, so that large means do not drown small deviations.
    origin = np.asarray(features[:1], np.float64)[0]
    total, squares = np.zeros_like(origin), np.zeros_like(origin)
    for start in range(0, len(features), chunk):
        rows = np.asarray(features[start : start + chunk], np.float64) - origin
        total += rows.sum(axis=0)
        squares += (rows**2).sum(axis=0)
    mean = origin + total / len(features)
    variance = np.maximum(squares / len(features) - (total / len(features)) ** 2, 0)
    scale = np.ones_like(mean)
    if how == "unit":
        mean_square = np.mean(variance + mean**2)
        mean, scale = np.zeros_like(mean), scale / np.sqrt(mean_square or 1)
    if how == "standard":
        # A column that is constant but for rounding says nothing: it becomes zero.
        deviation = np.sqrt(variance)
        varies = deviation > 1e-6 * np.abs(mean)
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    # Its own precision: under mixed_bfloat16 a large mean would drown small deviations again.
    layer = Scaling(dtype=keras.config.floatx())
    layer.build((None, len(mean)))
    layer.mean.assign(mean)
    layer.scale.assign(scale)
    return layer


@keras.saving.register_keras_serializable("tfxmodal")
class Scaling(keras.layers.Layer):
    """`(x - mean) * scale`, column by column; the numbers are weights that are not trained."""

    def build(self, input_shape):
        """Makes the two weights `[dim]`."""
        shape = input_shape[-1:]
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape, "ones", trainable=False, name="scale")

    def call(self, inputs):
        """Features `[..., dim]`, scaled."""
        return (inputs - self.mean) * self.scale
