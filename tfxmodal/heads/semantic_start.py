"""An encoder whose embedding ends in the class posteriors of semantic matching."""

from __future__ import annotations

from tfxmodal.heads.scaling import feature_scaling
from tfxmodal.lazy import keras


class SemanticStart:
    """[z; p]: an encoder's vector z, and the probabilities p of the classes, at unit length.

    Both are trained; p starts as the logistic regression of semantic matching.

    Attributes:
        network: From features `[batch, width]` to `[batch, dim + classes]`.

    Args:
        features: The Keras input of the encoder.
        z: The encoder's output for it, `[batch, dim]`.
        classes: How many there are.
    """

    def __init__(self, features, z, classes: int):
        policy = keras.config.floatx()
        self._scaling = feature_scaling(features.shape[-1], "standard")
        self._logits = keras.layers.Dense(classes, dtype=policy, name="logits")
        self._probabilities = Probabilities(dtype=policy, name="probabilities")
        p = self._probabilities(self._logits(self._scaling(features)))
        self.network = ending_in(p, features, z)

    def begin(self, matching: keras.Model):
        """Makes p that of a network of `semantic_matching`, from features to unit p."""
        _, scaling, classify, _ = matching.layers
        self._scaling.set_weights(scaling.get_weights())
        self._logits.set_weights(classify.get_weights())
        self._probabilities.exclusive.assign(classify.activation is keras.activations.softmax)


def ending_in(start, features, z) -> keras.Model:
    """The network from features to [z; start], of which the second is made a unit vector."""
    policy = keras.config.floatx()
    unit = keras.layers.UnitNormalization(dtype=policy)(start)
    return keras.Model(features, keras.layers.Concatenate(dtype=policy)([z, unit]))


@keras.saving.register_keras_serializable("tfxmodal")
class Probabilities(keras.layers.Layer):
    """Logits `[..., classes]` to probabilities: a softmax where classes exclude each other.

    Else each class has its sigmoid. Which of them is a weight, since the labels decide it after the
    network is built.
    """

    def build(self, input_shape):
        """Makes the weight, `[]`."""
        self.exclusive = self.add_weight((), "ones", trainable=False, name="exclusive")

    def call(self, logits):
        """Probabilities of each row."""
        exclusive, each = keras.activations.softmax(logits), keras.activations.sigmoid(logits)
        return keras.ops.where(self.exclusive > 0, exclusive, each)
