"""The mean squared distance of rows: reconstruction and correspondence, or the centre loss."""

from __future__ import annotations

from tfxmodal.lazy import tf


def squared_distance(rows, others):
    """How far each row is from its counterpart, squared, on average.

        L = 1/n sum_i || a_i - b_i ||^2

    Args:
        rows: a, `[n, dim]`.
        others: b, `[n, dim]`.

    Returns:
        A scalar; over replicas of n rows each it averages to the global loss.
    """
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(rows, others), axis=-1))
