"""Triplets of squared distances: the structure preservation of ACMR (Wang et al., MM 2017)."""

from __future__ import annotations

from collections.abc import Callable

from tfxmodal.lazy import tf


def squared_triplet(
    anchors,
    positives,
    negatives,
    weights,
    margin: float = 0.1,
    attraction: float = 5.0,
    gather: Callable | None = None,
):
    """An anchor is nearer to its positive than to its negative.

        L = 1/n sum_i w_i [ m + e_i ]_+,   e_i = a/2 ||x_i - p_i||^2 - 1/2 ||x_i - n_i||^2

    Args:
        anchors: x, `[n, dim]`.
        positives: p, `[n, dim]`.
        negatives: n, `[n, dim]`.
        weights: w, `[n]`.
        margin: m.
        attraction: a, the weight of the positive's distance.
        gather: Gives the rows of the global batch for those of this replica. With it the hinge is
            of the sum over the batch, L = 1/N [ m + sum_i w_i e_i ]_+, as in the released code: a
            row that is right makes up for one that is wrong.

    Returns:
        A scalar; over replicas of n rows each it averages to the global loss.
    """

    def half_square(others):
        return tf.reduce_sum(tf.math.squared_difference(anchors, others), axis=1) / 2

    excess = attraction * half_square(positives) - half_square(negatives)
    if gather is None:
        return tf.reduce_mean(weights * tf.nn.relu(margin + excess))
    excess = gather(weights * excess)
    share = margin / tf.cast(tf.shape(excess)[0], excess.dtype)
    return tf.nn.relu(share + tf.reduce_mean(excess))
