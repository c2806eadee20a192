"""Recurrent attention: the steps of a sequence, weighed (MCSM, Peng et al., IEEE TIP 2018)."""

from __future__ import annotations

from tfxmodal.lazy import keras

NONE = -1e9
"""The score of a step that is not there; infinity would make NaN where none is."""


def recurrent_attention(steps, units: int, dim: int, dropout: float = 0.5, mask=None) -> tuple:
    """The mean of a sequence's steps, each weighed by how much it matters.

        h_t = W LSTM(LSTM(x))_t,   a = softmax_t(w . tanh(V h_t + b)),   u = sum_t a_t h_t

    Args:
        steps: x, a Keras tensor `[batch, steps, width]`.
        units: Of each LSTM.
        dim: Of h and u.
        dropout: Fraction dropped before W and before w.
        mask: bool `[batch, steps]`, which steps there are; the others are passed over and get the
            weight 0. All by default.

    Returns:
        u `[batch, dim]`, and a `[batch, steps]`, which sums to 1; to 0 where there is no step.
    """
    layers, ops, full = keras.layers, keras.ops, keras.config.floatx()
    hidden, alone = steps, steps.shape[1] == 1
    for _ in range(2):  # For one step, a loop would take longer than the step.
        # cuDNN reads no mask with holes, and its graph runs on GPUs alone.
        lstm = layers.LSTM(units, return_sequences=True, unroll=alone, use_cudnn=False)
        hidden = lstm(hidden, mask=mask)
    hidden = layers.Dense(dim, name="steps")(layers.Dropout(dropout)(hidden))
    matter = layers.Dense(dim, activation="tanh")(hidden)
    scores = layers.Dense(1, dtype=full)(layers.Dropout(dropout)(matter))[..., 0]
    there = ops.ones_like(scores) if mask is None else ops.cast(mask, full)
    scores = ops.where(there > 0, scores, NONE)
    weights = there * ops.exp(scores - ops.max(scores, axis=1, keepdims=True))
    weights /= ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-12)  # 0 of no step at all
    return ops.einsum("bs,bsd->bd", weights, ops.cast(hidden, full)), weights
