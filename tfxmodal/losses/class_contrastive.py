"""Class-aware contrast: equation (12) of SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.log_ratio import cosine_logits, log_ratio, own_points
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.relational_similarity import similarity


def class_contrastive(batch: PairBatch, temperature: float = 0.5):
    """Points of a class come together, points of different classes go apart.

        L_CCD = -1/2N sum_i log( sum_j exp(cos(z_a^i, z_p^j) / tau)
                                 / sum_k exp(cos(z_a^i, z_n^k) / tau) )

    Positives z_p are the points of the batch, in both modalities, that share at least one class
    with the anchor, itself left out; negatives z_n are all others. An anchor without positives or
    without negatives has no ratio: it is left out of the sum and of the count. (The released code
    multiplies logits by the masks, so that each masked point adds exp(0) = 1 to both sums.)

    Args:
        batch: n anchors and the N pairs of the global batch, with labels.
        temperature: tau; .5 in the paper.

    Returns:
        A scalar; over replicas of equal size it averages to the global loss. 0 where no anchor has
        both positives and negatives.
    """
    logits = cosine_logits(batch, temperature)
    itself, _ = own_points(batch)
    same = tf.tile(similarity(batch.anchor_labels, batch.labels) > 0, [2, 2])
    loss = tf.reduce_sum(log_ratio(logits, same & ~itself, ~(same | itself)))
    # The count is the global batch's: replicas may hold different numbers of defined anchors.
    shared = similarity(batch.labels, batch.labels) > 0
    defined = tf.reduce_any(shared, 1) & tf.reduce_any(~shared, 1)
    count = 2 * tf.math.count_nonzero(defined, dtype=loss.dtype)
    replicas = tf.shape(batch.images)[0] / tf.shape(batch.image_anchors)[0]
    return tf.math.divide_no_nan(loss * tf.cast(replicas, loss.dtype), count)
