"""Bidirectional ranking: a pair scores higher than its parts with others (Dual-Path, stage II)."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.pair_batch import PairBatch


def ranking(batch: PairBatch, same, margin: float = 1.0, hardest: bool = True):
    """The hinges of each pair against wrong texts of its image and wrong images of its text.

        L = 1/n sum_i [m - u_i . v_i + u_i . v_j]_+ + [m - u_i . v_i + v_i . u_k]_+

    with j and k the wrong partners in the batch: of each anchor the highest-scoring one, or the
    mean of the hinges of all.

    Args:
        batch: n anchors and the N pairs of the global batch, of unit vectors.
        same: bool `[n, N]`, where an anchor and a pair are of one image: no wrong partners.
        margin: m.
        hardest: Whether the highest-scoring wrong partner counts alone.

    Returns:
        The mean over this replica's anchors; over replicas of equal size it averages to the
        global loss. An anchor without a wrong partner adds 0.
    """
    right = tf.reduce_sum(batch.image_anchors * batch.text_anchors, axis=1, keepdims=True)
    losses = []
    for anchors, others in (
        (batch.image_anchors, batch.texts),
        (batch.text_anchors, batch.images),
    ):
        hinges = tf.nn.relu(margin - right + tf.matmul(anchors, others, transpose_b=True))
        hinges = tf.where(same, tf.zeros_like(hinges), hinges)
        if hardest:
            losses.append(tf.reduce_max(hinges, axis=1))
        else:
            wrong = tf.math.count_nonzero(~same, axis=1, dtype=hinges.dtype)
            losses.append(tf.math.divide_no_nan(tf.reduce_sum(hinges, axis=1), wrong))
    return tf.reduce_mean(tf.add_n(losses))
