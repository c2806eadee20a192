"""A projector that begins as a linear map: the map, and a residual that starts at zero."""

from __future__ import annotations

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.heads.projector import L2Normalize
from tfxmodal.heads.scaling import Scaling
from tfxmodal.lazy import keras

SAMPLE = 4096
"""Rows by which the length of the map's output is made 1."""


class LinearStart:
    """L2 normalisation of W^T (x - m) + r(x), where r is a network whose last layer starts at zero.

    W is trained, too; m is not. Features and outputs have a mean square length of 1, so that a step
    of Adam changes W alike, whatever the features' scale.

    Attributes:
        network: From features x `[batch, width]` to unit vectors `[batch, dim]`.

    Args:
        features: The Keras input of x.
        residual: The output of r for it, `[batch, dim]`.
        last_layer: The last layer of r, a Dense one without an activation.
    """

    def __init__(self, features, residual, last_layer: keras.layers.Dense):
        policy = keras.config.floatx()
        self._centre = Scaling(dtype=policy, name="start_centre")
        self._map = keras.layers.Dense(
            residual.shape[-1], use_bias=False, dtype=policy, name="start_map"
        )
        self._last_layer = last_layer
        codes = self._map(self._centre(features)) + keras.ops.cast(residual, policy)
        self.network = keras.Model(features, L2Normalize(dtype=policy)(codes))

    def begin(self, mean: np.ndarray, directions: np.ndarray, features: Features):
        """Makes the network that linear map.

        Args:
            mean: m, `[width]`.
            directions: W, `[width, k]` of at most `dim` columns; the others become zero.
            features: Training features `[n, width]`, of which the first are read.
        """
        rows = np.asarray(features[:SAMPLE], np.float64) - mean
        directions = directions * (_length(rows) / (_length(rows @ directions) or 1))
        self._centre.mean.assign(mean)
        self._centre.scale.assign(np.full(len(mean), 1 / (_length(rows) or 1)))
        missing = self._map.kernel.shape[1] - directions.shape[1]
        self._map.kernel.assign(np.pad(directions, [[0, 0], [0, missing]]))
        for weight in self._last_layer.weights:
            weight.assign(np.zeros(weight.shape))


def _length(rows: np.ndarray) -> float:
    """The root of the mean square length of rows `[n, d]`."""
    return float(np.sqrt(np.mean(np.sum(rows**2, axis=1))))
