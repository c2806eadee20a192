"""Distillation: scores are fitted to those of a teacher (as in Hinton et al., 2015)."""

from __future__ import annotations

from tfxmodal.lazy import tf


def distillation(scores, taught):
    """The mean squared distance of scores to a teacher's, over all pairs.

        L = 1/(n m) sum_pq (s_pq - t_pq)^2

    Args:
        scores: s, of n images with m texts, `[n, m]`.
        taught: t, the teacher's, `[n, m]`.

    Returns:
        A scalar; over replicas of n images each it averages to the global loss.
    """
    return tf.reduce_mean(tf.math.squared_difference(scores, taught))
