"""The mean Euclidean distance of rows: terms of DSCMR, SDML and SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf


def mean_distance(rows, others, weights=None):
    """How far each row is from its counterpart, on average.

        L = 1/n sum_i w_i || a_i - b_i ||_2

    Args:
        rows: a, `[n, dim]`.
        others: b, `[n, dim]`.
        weights: w, `[n]`; 1 by default.

    Returns:
        A scalar; over replicas of n rows each it averages to the global loss. 1e-12 inside the
        square root keeps the gradient finite where two rows coincide.
    """
    squares = tf.math.squared_difference(rows, others)
    distances = tf.sqrt(tf.reduce_sum(squares, axis=-1) + 1e-12)
    return tf.reduce_mean(distances if weights is None else weights * distances)
