"""Relational similarity: equations (9) and (10) of DRSL."""

from __future__ import annotations

from tfxmodal.lazy import tf


def similarity(image_labels, text_labels):
    """The a priori similarity S, equation (9): 1 where image and text share a class, 0 elsewhere.

    The paper's items have one class each, and S_pq = 1 where y_p = y_q; of several classes one in
    common is enough, as relevance counts in the evaluation.

    Args:
        image_labels: Multi-hot `[n, classes]`.
        text_labels: Multi-hot `[m, classes]`.

    Returns:
        `[n, m]`.
    """
    common = tf.matmul(image_labels, text_labels, transpose_b=True)
    return tf.cast(common > 0, image_labels.dtype)


def relational_similarity(scores, target, pair_weights=None):
    """The squared Frobenius norm of R - S, equation (10), divided by the images n.

        L = 1/n || R - S ||_F^2

    The division is the released code's (the root of the number of pairs): a constant that Adam
    cancels, and that keeps the loss of one size over batch sizes.

    Args:
        scores: Relation scores R `[n, m]`.
        target: S `[n, m]`.
        pair_weights: Weight of each pair `[n, m]`; 1 by default.

    Returns:
        A scalar; over replicas that hold n images each, it averages to the global loss.
    """
    errors = tf.square(scores - target)
    if pair_weights is not None:
        errors *= pair_weights
    return tf.reduce_sum(errors) / tf.cast(tf.shape(scores)[0], scores.dtype)


def balanced_weights(target):
    """Weights of pairs by which the similar and the dissimilar ones count alike in all.

    Each class of pairs weighs half of `n m`; ours, since of C classes only about 1/C of the pairs
    are similar, and a score of 0 everywhere is nearly right.

    Args:
        target: S of the global batch, `[n, m]`.

    Returns:
        `[n, m]`; all 1 if the pairs are all similar, or all not.
    """
    share = tf.reduce_mean(target)
    similar = tf.math.divide_no_nan(tf.constant(0.5, target.dtype), share)
    dissimilar = tf.math.divide_no_nan(tf.constant(0.5, target.dtype), 1 - share)
    weights = target * similar + (1 - target) * dissimilar
    return tf.where((share > 0) & (share < 1), weights, tf.ones_like(target))
