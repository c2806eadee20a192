"""Centre loss: points lie near the centres of their classes (Wen et al., ECCV 2016)."""

from __future__ import annotations

from tfxmodal.lazy import tf


def centre(points, centres):
    """How far points are from the centres of their classes, squared.

        L = 1/n sum_i || z_i - c_i ||_2^2

    Wen et al. take half of the sum; the released code of FGCrossNet takes its mean.

    Args:
        points: z, `[n, dim]`.
        centres: c, the centre of each point's class, `[n, dim]`.

    Returns:
        A scalar.
    """
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(points, centres), axis=1))
