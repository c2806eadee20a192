"""Several common spaces as one, in which a dot product is the weighted sum of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxmodal.lazy import keras


@keras.saving.register_keras_serializable("tfxmodal")
class WeightedSpaces(keras.layers.Layer):
    """Unit vectors u_k `[batch, spaces, dim]` to [sqrt(w_1) u_1; sqrt(w_2) u_2; ...].

    The weights w sum to 1, so that the result is a unit vector, too, and

        x . y = sum_k w_k u_k . v_k

    They are kept in variables that are not trained, alike at first. One layer serves both
    modalities.
    """

    def build(self, shape):
        """Makes the roots of the weights, `[spaces, 1]`."""
        _, spaces, _ = shape
        equal = keras.initializers.Constant(spaces**-0.5)
        self.roots = self.add_weight((spaces, 1), equal, trainable=False, name="roots")

    def call(self, units):
        """One vector a row, `[batch, spaces * dim]`."""
        return side_by_side(self.roots * units)

    def weigh(self, weights: Sequence[float]):
        """Gives the spaces weights, which are brought to a sum of 1."""
        self.roots.assign(np.sqrt(np.array(weights) / np.sum(weights))[:, None])


def side_by_side(units):
    """Vectors of each space `[batch, spaces, dim]` in one row, `[batch, spaces * dim]`."""
    _, spaces, dim = units.shape
    return keras.ops.reshape(units, [-1, spaces * dim])
