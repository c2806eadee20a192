"""What the contrastive losses (7) and (12) of SCL have in common."""

from __future__ import annotations

from tfxmodal.lazy import tf


def cosine_logits(image_anchors, text_anchors, images, texts, temperature):
    """Cosines over temperature of both modalities' anchors with both modalities' points.

    Inputs are normalised here, as the equations have it: it costs little beside the product.

    Args:
        image_anchors: `[n, dim]`.
        text_anchors: `[n, dim]`.
        images: `[N, dim]`.
        texts: `[N, dim]`.
        temperature: tau.

    Returns:
        `[2n, 2N]`, images before texts on both axes.
    """
    anchors = tf.math.l2_normalize(tf.concat([image_anchors, text_anchors], 0), axis=-1)
    points = tf.math.l2_normalize(tf.concat([images, texts], 0), axis=-1)
    return tf.matmul(anchors, points, transpose_b=True) / temperature


def own_points(anchors: int, pairs: int, offset):
    """Where an anchor's own pair stands among the points.

    Args:
        anchors: n; anchor i is pair `offset + i`, in both modalities.
        pairs: N.
        offset: The global index of the first anchor.

    Returns:
        Masks `[2n, 2N]`: the anchor itself, and its counterpart in the other modality.
    """
    own = (offset + tf.range(anchors))[:, None] == tf.range(pairs)
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
