"""Kernel values between features and landmarks: how the kernel methods begin."""

from __future__ import annotations

import numpy as np

from tfxmodal.heads.linear import linear_projection
from tfxmodal.lazy import keras


@keras.saving.register_keras_serializable("tfxmodal")
class Kernel(keras.layers.Layer):
    """The kernel between rows x and fixed rows l: x . l, or exp(-gamma |x - l|^2).

    Args:
        landmarks: How many rows l there are; they are a weight that is not trained.
        gamma: Of the Gaussian kernel; None is the linear one.
    """

    def __init__(self, landmarks: int, gamma: float | None = None, **options):
        super().__init__(**options)
        self.count, self.gamma = landmarks, gamma

    def build(self, input_shape):
        """Makes the weight `[landmarks, dim]`."""
        shape = (self.count, input_shape[-1])
        self.landmarks = self.add_weight(shape, "zeros", trainable=False, name="landmarks")

    def call(self, inputs):
        """Rows `[batch, dim]` to `[batch, landmarks]`."""
        ops = keras.ops
        products = ops.matmul(inputs, ops.transpose(self.landmarks))
        if self.gamma is None:
            return products
        of_rows = ops.sum(inputs**2, axis=-1, keepdims=True)
        squares = of_rows + ops.sum(self.landmarks**2, axis=-1) - 2 * products
        return ops.exp(-self.gamma * ops.maximum(squares, 0.0))

    def get_config(self):
        """The arguments, for saving."""
        return {**super().get_config(), "landmarks": self.count, "gamma": self.gamma}


def kernel_projection(
    centre: np.ndarray,
    landmarks: np.ndarray,
    gamma: float | None,
    mean: np.ndarray,
    directions: np.ndarray,
) -> keras.Model:
    """Features x to W^T (k(x - centre) - mean), at unit length; k are the kernel values.

    Args:
        centre: `[d]`, so that float32 loses nothing of features far from the origin.
        landmarks: `[m, d]`, with the centre taken away.
        gamma: See `Kernel`.
        mean: `[m]`.
        directions: W, `[m, k]`.

    Returns:
        A model from `[batch, d]` to `[batch, k]`, float32.
    """
    from tfxmodal.heads.scaling import Scaling

    features = keras.Input([len(centre)], name="features")
    near, kernel = Scaling(dtype="float32"), Kernel(len(landmarks), gamma, dtype="float32")
    project = linear_projection(mean, directions)
    model = keras.Model(features, project(kernel(near(features))))
    near.mean.assign(centre)
    kernel.set_weights([landmarks])
    return model
