"""An encoder with a decoder that mirrors it, as in SDML and DCCAE."""

from __future__ import annotations

from collections.abc import Sequence

from tfxmodal.heads.feature_network import feature_network
from tfxmodal.lazy import keras


def autoencoder(
    features,
    scaled,
    code,
    hidden_units: Sequence[int],
    activation: str = "relu",
    normalize: bool = False,
) -> keras.Model:
    """What is needed of a batch to train an encoder that also reconstructs what it reads.

    Args:
        features: The Keras input of the encoder.
        scaled: What the encoder's network reads of it, x `[batch, width]`.
        code: The encoder's output, z `[batch, dim]`.
        hidden_units: Units of the encoder's hidden layers; the decoder has them in reverse.
        activation: Of the decoder's hidden layers; its last one is linear.
        normalize: Whether to give the decoder's output unit length.

    Returns:
        A model from features to `[z, x, D(z)]`.
    """
    from tfxmodal.heads.projector import L2Normalize

    units = (*reversed(hidden_units), scaled.shape[-1])
    decode = feature_network(
        code.shape[-1], units, activation=activation, output_activation="linear", name="decoder"
    )
    decoded = decode(code)
    if normalize:
        decoded = L2Normalize(dtype=keras.config.floatx())(decoded)
    return keras.Model(features, [code, scaled, decoded])
