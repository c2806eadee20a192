"""Pairs lie together in the common space: equation (1) of SCL."""

from __future__ import annotations

from tfxmodal.errors import choose
from tfxmodal.lazy import tf
from tfxmodal.losses.mean_distance import mean_distance


def modality_invariant(images, texts, norm: str = "rows"):
    """Distance of the two representations of a pair.

        L_CM = 1/N || Z_v - Z_t ||_2

    Args:
        images: Z_v, `[batch, dim]`.
        texts: Z_t, `[batch, dim]`.
        norm: `"rows"`, the mean over pairs of the Euclidean distance: 1/N is then the mean over
            the rows that the norm is taken of, and the term does not fade as the batch grows. The
            released code does this. `"frobenius"`, the norm of the matrix, as the equation can
            also be read; it does not split over rows, so with several replicas it needs the
            gathered batch.

    Returns:
        A scalar. 1e-12 inside the square root keeps the gradient finite where a pair coincides.

    Raises:
        InputError: If `norm` is unknown.
    """
    choose("norm", norm, ("rows", "frobenius"))
    if norm == "rows":
        return mean_distance(images, texts)
    squares = tf.math.squared_difference(images, texts)
    return tf.sqrt(tf.reduce_sum(squares) + 1e-12) / tf.cast(tf.shape(images)[0], squares.dtype)
