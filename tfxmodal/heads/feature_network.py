"""Fully connected networks on features, such as DRSL's Image FNN and Text FNN (DRSL, sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

from tfxmodal.heads.layers import batch_normalization, dense
from tfxmodal.lazy import keras


def feature_network(
    input_dim: int,
    units: Sequence[int] = (1024, 300),
    batch_norm: bool = False,
    dropout: float = 0.0,
    activation: str = "relu",
    output_activation: str = "relu",
    dtype=None,
    name: str = "feature_network",
) -> keras.Model:
    """Fully connected layers, each followed by an activation; the last one's output is z.

    Args:
        input_dim: Width of the features.
        units: Units of each layer (sec. 3.4: 1024, 300 for Wikipedia and NUS-WIDE-10K; 300 for
            Pascal Sentences; 1024, 1024, 300 for XMediaNet).
        batch_norm: Normalise each layer, the last one too, before its activation (sec. 3.4:
            XMediaNet).
        dropout: Fraction dropped of the input of each layer but the first (the papers: none).
        activation: Of each layer but the last (DRSL: ReLU).
        output_activation: Of the last layer (DRSL: ReLU).
        dtype: Keras dtype policy; the global one by default.
        name: The model's name.

    Returns:
        A model from `[batch, input_dim]` to z `[batch, units[-1]]`, in float32 also where the
        layers compute in bfloat16.
    """
    policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    features = rows = keras.Input([input_dim], dtype=policy.variable_dtype, name="features")
    for number, width in enumerate(units):
        if dropout and number:
            rows = keras.layers.Dropout(dropout, dtype=policy)(rows)
        rows = dense(width, policy)(rows)
        if batch_norm:
            rows = batch_normalization(policy)(rows)
        last = number == len(units) - 1
        rows = keras.layers.Activation(output_activation if last else activation, dtype=policy)(
            rows
        )
    rows = keras.layers.Identity(dtype=policy.variable_dtype)(rows)
    return keras.Model(features, rows, name=name)
