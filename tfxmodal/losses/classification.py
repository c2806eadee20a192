"""Cross-entropy of a classifier: of one class a row, or of several."""

from __future__ import annotations

from tfxmodal.lazy import tf


def classification(logits, labels, exclusive: bool):
    """The mean cross-entropy of rows whose classes are known.

        exclusive:  L = -1/n sum_i sum_c y_ic log softmax(s_i)_c
        otherwise:  L = -1/n sum_i sum_c y_ic log p_ic + (1 - y_ic) log(1 - p_ic),
                    p = sigmoid(s)

    Both are sums over a row's classes, so that a weight beside them means the same: a mean over
    classes would leave other terms their number times as much.

    Args:
        logits: s, `[n, classes]`.
        labels: Multi-hot y, `[n, classes]`.
        exclusive: Whether a row has one class, so that the posteriors are a softmax.

    Returns:
        A scalar.
    """
    labels = tf.cast(labels, logits.dtype)
    if exclusive:
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(tf.reduce_sum(each, axis=1))
