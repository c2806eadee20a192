"""The two layers of DRSL's networks, which start as PyTorch's do.

Section 3.4: "implemented by PyTorch"; the released code changes nothing about it.
"""

from __future__ import annotations

from tfxmodal.lazy import keras

MOMENTUM, EPSILON = 0.9, 1e-5
"""Of batch normalisation. (Keras' own momentum of .99 is slow for a few hundred steps.)"""


def dense(units: int, dtype=None) -> keras.layers.Dense:
    """A fully connected layer, its weights uniform within 1 / sqrt(inputs).

    Keras' own Glorot-uniform weights are up to twice as large at these widths; measured on
    Wikipedia, DRSL then learns slower and reaches less.
    """
    initial = keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
    return keras.layers.Dense(units, kernel_initializer=initial, dtype=dtype)


def batch_normalization(dtype=None, affine: bool = True) -> keras.layers.BatchNormalization:
    """Batch normalisation over the global batch, with a trained scale and shift if `affine`."""
    return keras.layers.BatchNormalization(
        momentum=MOMENTUM,
        epsilon=EPSILON,
        center=affine,
        scale=affine,
        synchronized=True,
        dtype=dtype,
    )
