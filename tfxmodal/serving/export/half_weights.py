"""Weights stored in half the space, as bfloat16, and computed with as float32."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tfxmodal.lazy import keras, tf


class HalfWeights:
    """Rounds the weights of models to bfloat16; what they compute stays float32.

    The models themselves are changed, so that they go on to give what an export of them gives.

    Args:
        models: Keras models and layers.
    """

    def __init__(self, models: Iterable[keras.layers.Layer]):
        variables = {id(each): each for model in models for each in model.variables}
        self._halves = {}
        for number, variable in variables.items():
            if variable.dtype == "float32":
                half = tf.Variable(tf.cast(variable.value, tf.bfloat16), trainable=False)
                variable.assign(tf.cast(half, tf.float32))
                self._halves[number] = half

    def __call__(self, function: Callable) -> Callable:
        """The function, reading the stored weights in place of the models' own."""

        def reading_halves(*inputs):
            with _Reading(self._halves):
                return function(*inputs)

        return reading_halves


class _Reading(keras.StatelessScope):
    """Within it, a variable's value is its stored half; only those that are used are read."""

    def __init__(self, halves: dict[int, tf.Variable]):
        super().__init__()
        self._halves = halves

    def get_current_value(self, variable):
        half = self._halves.get(id(variable))
        return None if half is None else tf.cast(half, tf.float32)
