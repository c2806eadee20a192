"""What the contrastive losses (7) and (12) of SCL have in common."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.pair_batch import PairBatch


def cosine_logits(batch: PairBatch, temperature: float):
    """Cosines over temperature of both modalities' anchors with both modalities' points.

    Inputs are normalised here, as the equations have it: it costs little beside the product.

    Args:
        batch: n anchors and N pairs.
        temperature: tau.

    Returns:
        `[2n, 2N]`, images before texts on both axes.
    """
    anchors = tf.concat([batch.image_anchors, batch.text_anchors], 0)
    points = tf.concat([batch.images, batch.texts], 0)
    anchors, points = (tf.math.l2_normalize(each, axis=-1) for each in (anchors, points))
    return tf.matmul(anchors, points, transpose_b=True) / temperature


def own_points(batch: PairBatch):
    """Where an anchor's own pair stands among the points.

    Args:
        batch: n anchors and N pairs; anchor i is pair `offset + i`, in both modalities.

    Returns:
        Masks `[2n, 2N]`: the anchor itself, and its counterpart in the other modality.
    """
    n, pairs = tf.shape(batch.image_anchors)[0], tf.shape(batch.images)[0]
    own = (batch.offset + tf.range(n))[:, None] == tf.range(pairs)
    none = tf.zeros_like(own)
    image, text = tf.concat([own, none], 1), tf.concat([none, own], 1)
    return tf.concat([image, text], 0), tf.concat([text, image], 0)


def log_ratio(logits, positives, negatives):
    """-log( sum over positives of exp / sum over negatives of exp ), for each anchor.

    Args:
        logits: `[n, m]`.
        positives: Mask `[n, m]`.
        negatives: Mask `[n, m]`.

    Returns:
        `[n]`; 0 for an anchor that has no positives or no negatives.
    """
    defined = tf.reduce_any(positives, 1) & tf.reduce_any(negatives, 1)
    loss = _masked_logsumexp(logits, negatives) - _masked_logsumexp(logits, positives)
    return tf.where(defined, loss, 0)


def _masked_logsumexp(logits, mask):
    # A finite stand-in for -inf: an empty mask then has no NaN in its gradient.
    return tf.reduce_logsumexp(tf.where(mask, logits, logits.dtype.min), axis=1)
