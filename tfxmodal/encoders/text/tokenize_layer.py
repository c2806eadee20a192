"""A tokenizer of TensorFlow Text as a layer of a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf


class Tokenize(keras.layers.Layer):
    """Strings `[batch]` to what a network of texts takes.

    Args:
        function: From strings `[batch]` to tensors by name, `[batch, tokens]` each.
        outputs: The types of these tensors, by name.
        resource: What an export must track, of the tokenizer.
    """

    def __init__(self, function: Callable, outputs: Mapping[str, str], resource=None):
        super().__init__(name="tokenize")
        self.resource = resource
        self._function, self._outputs = function, dict(outputs)
        self.built = True

    def call(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """The tensors by name."""
        return self._function(texts)

    def compute_output_spec(self, texts) -> dict[str, keras.KerasTensor]:
        """Their shapes and types, without a run of the tokenizer."""
        shape = texts.shape[0], None
        return {name: keras.KerasTensor(shape, dtype) for name, dtype in self._outputs.items()}
