"""Instance-level contrast: equation (7) of SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.log_ratio import cosine_logits, log_ratio, own_points


def contrastive(
    image_anchors,
    text_anchors,
    images=None,
    texts=None,
    offset=0,
    temperature: float = 0.5,
    positive_in_denominator: bool = False,
):
    """Each of the 2N points tells its pair from the 2(N - 1) points of other pairs.

        L_CD = -1/2N sum_i log( exp(cos(z_a^i, z_p) / tau) / sum_j exp(cos(z_a^i, z_n^j) / tau) )

    with z_p the anchor's other modality and z_n^j both modalities of all other pairs. As printed,
    and in the released code, the sum below has the negatives alone, so the loss can be negative.

    Args:
        image_anchors: Images of this replica's pairs, `[n, dim]`.
        text_anchors: Their texts, `[n, dim]`.
        images: Images of the global batch, `[N, dim]`; None where the anchors are the batch.
        texts: Texts of the global batch, `[N, dim]`.
        offset: The global index of the first anchor.
        temperature: tau; .5 in the paper.
        positive_in_denominator: Adds the positive to the sum below: SimCLR's NT-Xent.

    Returns:
        The mean over this replica's anchors; over replicas of equal size it averages to the
        global loss. 0 for a batch of one pair, which has no negatives.
    """
    images = image_anchors if images is None else images
    texts = text_anchors if texts is None else texts
    logits = cosine_logits(image_anchors, text_anchors, images, texts, temperature)
    itself, positives = own_points(tf.shape(image_anchors)[0], tf.shape(images)[0], offset)
    negatives = ~itself if positive_in_denominator else ~(itself | positives)
    return tf.reduce_mean(log_ratio(logits, positives, negatives))
