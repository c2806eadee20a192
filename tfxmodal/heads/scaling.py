"""Brings features to the scale that the networks' initial weights expect."""

from __future__ import annotations

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.errors import choose
from tfxmodal.lazy import keras

SCALINGS = ("none", "unit", "center", "standard")

VECTORS = 4096
"""Vectors read at a time."""

SAMPLE = 256
"""Raw rows whose features scaling is fitted to, taken evenly: rows may be in order of class."""

AT_ONCE = 32
"""Raw rows whose features are computed at a time."""


def feature_scaling(dim: int, how: str) -> keras.layers.Layer:
    """The layer that scales features as a config says; see `Scaling.adapt`.

    Args:
        dim: Width of the features.
        how: One of `SCALINGS`.

    Returns:
        A `Scaling`, to be adapted to the training features; the identity for `"none"`.

    Raises:
        InputError: If `how` is unknown.
    """
    choose("scaling", how, SCALINGS)
    if how == "none":
        return keras.layers.Identity(dtype=keras.config.floatx())
    # Its own precision: under mixed_bfloat16 a large mean would drown small deviations.
    layer = Scaling(how, dtype=keras.config.floatx())
    layer.build((None, dim))
    return layer


@keras.saving.register_keras_serializable("tfxmodal")
class Scaling(keras.layers.Layer):
    """`(x - mean) * scale`, column by column; the numbers are weights that are not trained.

    Args:
        how: What `adapt` does: `"unit"` divides all columns by one number, to a mean square of 1;
            `"center"` gives each column mean 0; `"standard"`, mean 0 and variance 1.
    """

    def __init__(self, how: str = "center", **options):
        super().__init__(**options)
        self.how = how

    def build(self, input_shape):
        """Makes the two weights `[dim]`."""
        shape = input_shape[-1:]
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape, "ones", trainable=False, name="scale")

    def call(self, inputs):
        """Features `[..., dim]`, scaled."""
        return (inputs - self.mean) * self.scale

    def adapt(self, features: Features, sampled: bool = False):
        """Fits the numbers to training features, so that they are saved with the model.

        Args:
            features: `[n, dim]` or `[n, locations, dim]`, read in chunks.
            sampled: Whether other rows follow, in which a column may vary that is constant in
                these: it is scaled by the mean deviation of the others, not to zero.
        """
        *_, dim = features.shape
        locations = int(np.prod(features.shape[1:-1]))
        chunk = max(1, VECTORS // locations)
        # Sums are of differences from a row, so that large means do not drown small deviations.
        origin = np.asarray(features[:1], np.float64).reshape(-1, dim)[0]
        total, squares = np.zeros_like(origin), np.zeros_like(origin)
        for start in range(0, len(features), chunk):
            rows = np.asarray(features[start : start + chunk], np.float64).reshape(-1, dim) - origin
            total += rows.sum(axis=0)
            squares += (rows**2).sum(axis=0)
        count = len(features) * locations
        mean = origin + total / count
        variance = np.maximum(squares / count - (total / count) ** 2, 0)
        scale = np.ones_like(mean)
        if self.how == "unit":
            mean_square = np.mean(variance + mean**2)
            mean, scale = np.zeros_like(mean), scale / np.sqrt(mean_square or 1)
        if self.how == "standard":
            # A column that is constant but for rounding says nothing: it becomes zero.
            deviation = np.sqrt(variance)
            varies = deviation > 1e-6 * np.abs(mean)
            constant = 0.0
            if sampled:
                constant = 1 / np.mean(deviation[varies]) if varies.any() else 1.0
            scale = np.full_like(deviation, constant)
            np.divide(1, deviation, out=scale, where=varies)
        self.mean.assign(mean)
        self.scale.assign(scale)

    def get_config(self):
        """The arguments, for saving."""
        return {**super().get_config(), "how": self.how}


def adapt(network: keras.Model, rows: Features):
    """Fits what scaling there is in a network to the training rows that it reads.

    Where layers make the features of pixels or words, they are those of `SAMPLE` rows.
    """
    for layer in network.layers:
        if not isinstance(layer, Scaling):
            continue
        if layer.input is network.input:
            layer.adapt(rows)
            continue
        below = keras.Model(network.input, layer.input)
        taken = np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows)), dtype=int)
        features = [
            below(keras.ops.convert_to_tensor(rows[some], network.input.dtype), training=False)
            for some in np.array_split(taken, -(-len(taken) // AT_ONCE))
        ]
        layer.adapt(np.concatenate(features), sampled=True)
