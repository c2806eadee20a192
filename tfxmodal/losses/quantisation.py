"""How far numbers are from the bits that their signs make (as in Gong and Lazebnik, CVPR 2011)."""

from __future__ import annotations

from tfxmodal.lazy import tf


def quantisation(images, texts):
    """The mean squared distance of numbers to their signs.

        L = 1/2 sum_{h of images, texts} 1/(n k) sum_ij (h_ij - sign h_ij)^2 ,

    which is (|h_ij| - 1)^2: a number is drawn to the nearer of -1 and 1.

    Args:
        images: h of images, `[n, k]`.
        texts: h of texts, `[n, k]`.

    Returns:
        A scalar; over replicas of n rows each it averages to the global loss.
    """
    return tf.add_n([tf.reduce_mean((tf.abs(each) - 1) ** 2) for each in (images, texts)]) / 2
