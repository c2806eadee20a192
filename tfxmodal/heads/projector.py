"""From features of one modality to the common space."""

from __future__ import annotations

from tfxmodal.lazy import keras, tf


@keras.saving.register_keras_serializable("tfxmodal")
class L2Normalize(keras.layers.Layer):
    """Scales each row to unit length; a row of zeros stays zeros.

    The squared length is kept above 1e-12, so that the gradient at a row of zeros (every ReLU dead)
    is finite; `keras.layers.UnitNormalization` gives NaN there.
    """

    def call(self, inputs):
        """Rows `[..., dim]` at unit length."""
        return tf.math.l2_normalize(inputs, axis=-1)


def projector(
    input_dim: int,
    hidden: int = 1024,
    output: int = 512,
    last_layer: keras.layers.Layer | None = None,
    dropout: float = 0.0,
    output_activation: str = "relu",
    normalize: bool = True,
    dtype=None,
    name: str = "projector",
) -> keras.Model:
    """Two fully connected layers and L2 normalisation (SCL, sec. III-A and IV-A).

    The modalities share the weights of the last layer: build it once and pass it to both
    projectors. Weights start Glorot-uniform, as in the released code.

    Args:
        input_dim: Width of the features.
        hidden: Units of the first layer.
        output: Units of the last layer, where `last_layer` is not given.
        last_layer: The layer shared with the other modality; None makes a new one.
        dropout: Fraction dropped after each layer. The paper has none, the released code .5.
        output_activation: Activation of a last layer made here; the paper's is ReLU.
        normalize: Whether to end with the normalisation.
        dtype: Keras dtype policy; the global one by default.
        name: The model's name.

    Returns:
        A model from `[batch, input_dim]` to unit vectors `[batch, output]`, in float32
        also where the layers compute in bfloat16; without `normalize` to vectors of any length.
    """
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    last_layer = last_layer or keras.layers.Dense(
        output, activation=output_activation, dtype=policy
    )
    features = keras.Input([input_dim], dtype=policy.variable_dtype, name="features")
    common = keras.layers.Dense(hidden, activation="relu", dtype=policy)(features)
    common = keras.layers.Dropout(dropout, dtype=policy)(common)
    common = last_layer(common)
    common = keras.layers.Dropout(dropout, dtype=policy)(common)
    if normalize:
        common = L2Normalize(dtype=policy.variable_dtype)(common)
    return keras.Model(features, common, name=name)
