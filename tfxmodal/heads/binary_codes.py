"""From a common space to binary codes, through which gradients pass."""

from __future__ import annotations

from tfxmodal.lazy import keras, tf


def bit_layer(bits: int) -> keras.layers.Dense:
    """The linear layer whose outputs' signs are the bits of a unit vector.

    Its weights start standard normal. The signs are then random hyperplanes, of which two vectors
    share 1 - angle / pi (Charikar, STOC 2002), and the outputs are near 1 in size.

    Args:
        bits: Of a code.
    """
    normal = keras.initializers.RandomNormal(stddev=1.0)
    return keras.layers.Dense(
        bits, kernel_initializer=normal, dtype=keras.config.floatx(), name="bit_layer"
    )


@keras.saving.register_keras_serializable("tfxmodal")
class Sign(keras.layers.Layer):
    """1 where a number is at least 0, else -1; the gradient passes straight through in [-1, 1].

    The sign has no gradient of use. In its place stands that of the identity, cut off where the
    number is beyond its bit already (Hubara et al., NeurIPS 2016, equation 4).
    """

    def call(self, inputs):
        """Rows `[..., bits]` of -1 and 1."""
        return _straight_through(inputs)


@tf.custom_gradient
def _straight_through(inputs):
    def backward(upstream):
        return tf.where(tf.abs(inputs) <= 1, upstream, tf.zeros_like(upstream))

    return tf.where(inputs >= 0, tf.ones_like(inputs), -tf.ones_like(inputs)), backward
