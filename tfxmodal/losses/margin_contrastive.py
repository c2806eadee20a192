"""The contrastive loss over all images and texts of a batch, with a margin (CCL)."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.pair_batch import PairBatch


def margin_contrastive(batch: PairBatch, same, margin: float = 1.0):
    """Images and texts of one class come together, others are kept a margin apart.

        L = 1/2N sum_ij ( S_ij d_ij^2 + (1 - S_ij) [m - d_ij]_+^2 ),   d_ij = || u_i - v_j ||

    over the N images u and the N texts v of the batch, N^2 couples. (The released code's gradient
    is twice that of its loss, which is this one.)

    Args:
        batch: n images as anchors, and the N texts of the global batch.
        same: S, 1 where an image and a text share a class, else 0, `[n, N]`.
        margin: m.

    Returns:
        A scalar; over replicas of n anchors each it averages to the global loss. 1e-12 inside the
        root keeps the gradient finite where two points coincide.
    """
    u, v = batch.image_anchors, batch.texts
    products = tf.matmul(u, v, transpose_b=True)
    squares = _squares(u)[:, None] + _squares(v) - 2 * products
    distances = tf.sqrt(tf.maximum(squares, 0) + 1e-12)
    apart = tf.square(tf.nn.relu(margin - distances))
    losses = same * tf.maximum(squares, 0) + (1 - same) * apart
    return tf.reduce_mean(tf.reduce_sum(losses, axis=1)) / 2


def _squares(rows):
    return tf.reduce_sum(tf.square(rows), axis=1)
