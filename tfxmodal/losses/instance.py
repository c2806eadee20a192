"""Instance loss: each pair is a class of its own (Dual-Path, Zheng et al., TOMM 2020)."""

from __future__ import annotations

from tfxmodal.lazy import tf


def instance(logits, numbers):
    """The cross-entropy of telling which instance a row is of.

        L = -1/n sum_i log softmax(W_s^T u_i)_c(i),   c(i) = number of row i modulo k

    with a class for each of k instances or, where there are more, a bucket of them.

    Args:
        logits: W_s^T u, `[n, k]`.
        numbers: Whole numbers `[n]`, equal in rows of one instance.

    Returns:
        A scalar.
    """
    classes = numbers % tf.cast(tf.shape(logits)[1], numbers.dtype)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))
