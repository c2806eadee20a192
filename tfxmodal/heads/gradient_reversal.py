"""Gradient reversal, for adversarial training (Ganin and Lempitsky, ICML 2015, sec. 3.1)."""

from __future__ import annotations

from tfxmodal.lazy import keras, tf


@keras.saving.register_keras_serializable("tfxmodal")
class GradientReversal(keras.layers.Layer):
    """The identity, whose gradient is reversed: R_l(x) = x, dR_l / dx = -l I (their eq. 16, 17).

    What lies below learns to maximise the loss that what lies above learns to minimise, in one
    update. The networks below are saved and exported without it.

    Args:
        strength: l at the start. It is kept in the variable `strength`, which is not trained: a
            schedule assigns to it.
    """

    def __init__(self, strength: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self._initial = strength
        self.strength = self.add_weight(
            (),
            keras.initializers.Constant(strength),
            trainable=False,
            autocast=False,  # bfloat16 has 8 bits for l.
            name="strength",
        )
        self.built = True

    def call(self, inputs):
        """Rows `[..., dim]` as they are, in their dtype."""
        return _reversed(inputs, tf.convert_to_tensor(self.strength.value))

    def get_config(self):
        """The arguments, for saving."""
        return {**super().get_config(), "strength": self._initial}


@tf.custom_gradient
def _reversed(inputs, strength):
    def backward(upstream):
        gradient = -strength * tf.cast(upstream, strength.dtype)
        return tf.cast(gradient, upstream.dtype), None

    return tf.identity(inputs), backward
