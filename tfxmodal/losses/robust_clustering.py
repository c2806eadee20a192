"""Robust clustering: a classification that wrong labels do not dominate (MRL, Hu et al., 2021)."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.log_ratio import log_ratio


def robust_clustering(logits, labels):
    """Clean rows weigh more than those whose labels the network contradicts.

        L_r = 1/n sum_i log(1 - p_i),   p_i = sum_c y_ic softmax(s_i)_c

    with the cosines s_i of row i to the centres of the clusters, over a temperature. The gradient
    by p is -1 / (1 - p): it grows as the row becomes certain, where that of the cross-entropy,
    -1 / p, is the largest for rows that contradict their label. The loss is negative.

    Of several classes a row's p is their sum, as in the released code. A row without a class, or of
    every class, adds 0.

    Args:
        logits: s, `[n, classes]`.
        labels: Multi-hot y, `[n, classes]`.

    Returns:
        A scalar.
    """
    own = tf.cast(labels, tf.bool)
    return tf.reduce_mean(log_ratio(logits, tf.ones_like(own), ~own))
