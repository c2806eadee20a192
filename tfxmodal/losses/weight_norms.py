"""The norms of weight matrices: the regularisation of ACMR (Wang et al., MM 2017)."""

from __future__ import annotations

from tfxmodal.lazy import tf


def weight_norms(matrices):
    """The size of the weights of some layers.

        L = sum_k || W_k ||_F

    Args:
        matrices: W, a list of `[inputs, outputs]`.

    Returns:
        A scalar. 1e-12 inside the square root keeps the gradient of a matrix of zeros finite.
    """
    return tf.add_n([tf.sqrt(tf.reduce_sum(tf.square(each)) + 1e-12) for each in matrices])
