"""Class-aware contrast: equation (12) of SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.log_ratio import cosine_logits, log_ratio, own_points


def class_contrastive(
    image_anchors,
    text_anchors,
    anchor_labels,
    images=None,
    texts=None,
    labels=None,
    offset=0,
    temperature: float = 0.5,
):
    """Points of a class come together, points of different classes go apart.

        L_CCD = -1/2N sum_i log( sum_j exp(cos(z_a^i, z_p^j) / tau)
                                 / sum_k exp(cos(z_a^i, z_n^k) / tau) )

    Positives z_p are the points of the batch, in both modalities, that share at least one class
    with the anchor, itself left out; negatives z_n are all others. An anchor without positives or
    without negatives has no ratio: it is left out of the sum and of the count. (The released code
    multiplies logits by the masks, so that each masked point adds exp(0) = 1 to both sums.)

    Args:
        image_anchors: Images of this replica's pairs, `[n, dim]`.
        text_anchors: Their texts, `[n, dim]`.
        anchor_labels: Their labels, multi-hot `[n, classes]`.
        images: Images of the global batch, `[N, dim]`; None where the anchors are the batch.
        texts: Texts of the global batch, `[N, dim]`.
        labels: Labels of the global batch, `[N, classes]`.
        offset: The global index of the first anchor.
        temperature: tau; .5 in the paper.

    Returns:
        A scalar; over replicas of equal size it averages to the global loss. 0 where no anchor has
        both positives and negatives.
    """
    images = image_anchors if images is None else images
    texts = text_anchors if texts is None else texts
    labels = anchor_labels if labels is None else labels
    logits = cosine_logits(image_anchors, text_anchors, images, texts, temperature)
    n, pairs = tf.shape(image_anchors)[0], tf.shape(images)[0]
    itself, _ = own_points(n, pairs, offset)
    same = tf.tile(_share_a_class(anchor_labels, labels), [2, 2])
    loss = tf.reduce_sum(log_ratio(logits, same & ~itself, ~(same | itself)))
    # The count is the global batch's: replicas may hold different numbers of defined anchors.
    shared = _share_a_class(labels, labels)
    defined = tf.reduce_any(shared, 1) & tf.reduce_any(~shared, 1)
    count = 2 * tf.math.count_nonzero(defined, dtype=loss.dtype)
    return tf.math.divide_no_nan(loss * tf.cast(pairs / n, loss.dtype), count)


def _share_a_class(labels, others):
    """`[n, classes]` and `[N, classes]` to `[n, N]`: whether two pairs have a class in common."""
    labels, others = tf.cast(labels, tf.float32), tf.cast(others, tf.float32)
    return tf.matmul(labels, others, transpose_b=True) > 0
