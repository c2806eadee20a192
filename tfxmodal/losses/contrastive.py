"""Instance-level contrast: equation (7) of SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.log_ratio import cosine_logits, log_ratio, own_points
from tfxmodal.losses.pair_batch import PairBatch


def contrastive(batch: PairBatch, temperature: float = 0.5, positive_in_denominator: bool = False):
    """Each of the 2N points tells its pair from the 2(N - 1) points of other pairs.

        L_CD = -1/2N sum_i log( exp(cos(z_a^i, z_p) / tau) / sum_j exp(cos(z_a^i, z_n^j) / tau) )

    with z_p the anchor's other modality and z_n^j both modalities of all other pairs. As printed,
    and in the released code, the sum below has the negatives alone, so the loss can be negative.

    Args:
        batch: n anchors and the N pairs of the global batch.
        temperature: tau; .5 in the paper.
        positive_in_denominator: Adds the positive to the sum below: SimCLR's NT-Xent.

    Returns:
        The mean over this replica's anchors; over replicas of equal size it averages to the
        global loss. 0 for a batch of one pair, which has no negatives.
    """
    logits = cosine_logits(batch, temperature)
    itself, positives = own_points(batch)
    negatives = ~itself if positive_in_denominator else ~(itself | positives)
    return tf.reduce_mean(log_ratio(logits, positives, negatives))
