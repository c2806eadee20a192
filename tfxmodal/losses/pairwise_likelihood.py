"""The likelihood of the similarity of all points: the discrimination loss J2 of DSCMR."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.pair_batch import PairBatch


def pairwise_likelihood(batch: PairBatch, similar):
    """Points that are similar get a large cosine, others a small one, across and within modalities.

        J2 = sum over (a, b) in (u, v), (u, u), (v, v) of
             1/N^2 sum_ij ( log(1 + exp(G_ij)) - S_ij G_ij ),   G_ij = cos(a_i, b_j) / 2

    It is the negative logarithm of the likelihood of S, where S_ij = 1 has the probability
    sigmoid(G_ij).

    Args:
        batch: Images u and texts v: n anchors, and the N pairs of the global batch.
        similar: S, `[n, N]`.

    Returns:
        A scalar; over replicas of n anchors each it averages to the global loss. A vector of zeros
        has a cosine of 0 with all others.
    """

    def unit(vectors):
        return tf.math.l2_normalize(vectors, axis=-1)

    def term(anchors, points):
        half = tf.matmul(unit(anchors), unit(points), transpose_b=True) / 2
        return tf.reduce_mean(tf.math.softplus(half) - similar * half)

    return (
        term(batch.image_anchors, batch.texts)
        + term(batch.image_anchors, batch.images)
        + term(batch.text_anchors, batch.texts)
    )
