"""Quadruplet loss: points of a class lie closer than any others (Chen et al., CVPR 2017)."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.relational_similarity import similarity


def quadruplet(points, labels, draws: int, margins=(1.0, 0.5), one_hinge: bool = False):
    """Two points of a class are closer than one of them and a third, and than two others.

        L = 1/Q sum_q [d_ij - d_ik + a]_+ + [d_ij - d_km + b]_+,   d_ij = || z_i - z_j ||_2

    over quadruplets q = (i, j, k, m) in which i and j share a class, k shares none with i, and m
    none with i and k. Q is the number of those that add something, as in the released code of
    FGCrossNet. 0 where none does.

    All quadruplets of n points are up to n^4. Here `draws` of them begin at each point, drawn by
    their places, which are the same in every batch: it is the batches that are shuffled. Time and
    memory are O(draws n^2).

    Args:
        points: z of the global batch, `[n, dim]`.
        labels: Their multi-hot classes, `[n, classes]`; every point has one at least.
        draws: Quadruplets that begin at a point, at most.
        margins: a and b.
        one_hinge: Take `[2 d_ij - d_ik - d_km + a + b]_+` instead: what one margin is exceeded by
            then makes up for the other one.

    Returns:
        A scalar.
    """
    share = similarity(labels, labels) > 0
    n = tf.shape(points)[0]
    order = tf.random.stateless_uniform([n, n], seed=[0, 0])
    count = tf.minimum(draws, n)
    partners, found = _first(share & ~tf.eye(n, dtype=tf.bool), order, count)
    others, apart = _first(~share, order, count)
    of_neither = ~share[:, None] & ~tf.gather(share, others)
    thirds, left = _first(of_neither, tf.gather(order, others), 1)
    rows = (partners, others, thirds[..., 0])
    i, (j, k, m) = points[:, None], (tf.gather(points, each) for each in rows)
    near, far = _distance(i, j), (_distance(i, k), _distance(k, m))
    excess = [near - each + margin for each, margin in zip(far, margins, strict=True)]
    loss = tf.nn.relu(tf.add_n(excess)) if one_hinge else tf.add_n([tf.nn.relu(e) for e in excess])
    loss = tf.where(found & apart & left[..., 0], loss, 0)
    return tf.math.divide_no_nan(tf.reduce_sum(loss), tf.math.count_nonzero(loss, dtype=loss.dtype))


def _first(allowed, order, count):
    """The allowed columns of each row that come first in an order: these, and which there are."""
    values, columns = tf.math.top_k(tf.where(allowed, order, -1.0), count)
    return columns, values >= 0


def _distance(a, b):
    # 1e-12 keeps the gradient finite where two points coincide.
    return tf.sqrt(tf.reduce_sum(tf.math.squared_difference(a, b), axis=-1) + 1e-12)
