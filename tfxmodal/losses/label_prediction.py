"""Label prediction: equations (9) to (11) of SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf


def label_prediction(image_logits, text_logits, labels):
    """Softmax cross-entropy of both modalities.

        p_v = softmax(W^T z_v + b), p_t = softmax(W^T z_t + b)
        L_C = -1/N sum_i y^i . (log p_v^i + log p_t^i)

    A pair of several classes has its y divided by their number: a softmax sums to one, so it can
    meet only a target that does. A pair without labels adds nothing.

    Args:
        image_logits: W^T z_v + b, `[batch, classes]`.
        text_logits: W^T z_t + b, `[batch, classes]`.
        labels: Multi-hot y, `[batch, classes]`.

    Returns:
        The mean over the batch.
    """
    labels = tf.cast(labels, image_logits.dtype)
    target = tf.math.divide_no_nan(labels, tf.reduce_sum(labels, axis=1, keepdims=True))
    log_p = tf.nn.log_softmax(image_logits) + tf.nn.log_softmax(text_logits)
    return -tf.reduce_mean(tf.reduce_sum(target * log_p, axis=1))
