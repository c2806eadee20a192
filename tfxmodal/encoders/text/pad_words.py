"""A layer that makes texts long enough for the widest filter of a convolution."""

from __future__ import annotations

from tfxmodal.lazy import keras, tf


@keras.saving.register_keras_serializable("tfxmodal")
class PadWords(keras.layers.Layer):
    """Pads ids `[batch, words]` with 0 to at least some number of words.

    Args:
        least: That number.
    """

    def __init__(self, least: int, **options):
        super().__init__(**options)
        self.least = least

    def call(self, ids):
        """Ids `[batch, max(words, least)]`."""
        return tf.pad(ids, [[0, 0], [0, tf.maximum(self.least - tf.shape(ids)[1], 0)]])

    def compute_output_shape(self, shape):
        """The number of words is known when the graph runs."""
        return shape[0], None

    def get_config(self):
        """The configuration, from which Keras builds the layer again."""
        return super().get_config() | {"least": self.least}
