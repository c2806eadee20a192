"""SMLN's loss on the eigenvalues of a batch, their eigenvectors, and the graph that they are of.

The paper (Hu et al., AAAI 2020) could not be had whole: all is our reading of its summary.
"""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.relational_similarity import similarity


def balanced_spectrum(points, similarities, ridge: float):
    """How far all eigenvalues are from 1, those of the small ones most.

        L = sum_i (1 - lambda_i)^2 = k - 2 tr M + tr M^2

    The lambda are the eigenvalues of (Z^T D Z)^-1 Z^T W Z, with D = diag(W 1): the ratio trace
    criterion. They are at most 1, which they reach where similar points are at one place. The
    gradient falls as an eigenvalue grows, so that the small ones count most and the large ones are
    not dropped. With the Cholesky factor C of Z^T D Z, M = C^-1 Z^T W Z C^-T has the same
    eigenvalues, and its traces give the loss without them. Constant points would have an eigenvalue
    of 1: the mean of Z, weighted by D, is taken off first. It is computed in float64.

    Args:
        points: Z, `[n, k]`; the loss is that of Z G for any invertible G, but for the ridge.
        similarities: W, at least 0 and symmetric, `[n, n]`.
        ridge: Added to Z^T D Z, relative to the mean of its diagonal.

    Returns:
        A scalar of the points' dtype, from 0 to 4 k.
    """
    _, _, m = _whitened(points, similarities, ridge)
    k = tf.cast(tf.shape(m)[0], tf.float64)
    loss = k - 2 * tf.linalg.trace(m) + tf.reduce_sum(m**2)
    return tf.cast(loss, points.dtype)


def spectral_map(points, similarities, ridge: float):
    """The affine map of the points onto the eigenvectors that `balanced_spectrum` is of.

    With M = V diag(lambda) V^T it is z -> (z - mean)^T C^-T V diag(lambda). The axes have equal
    variance, weighted by D, but for the lambda, which make an axis along which similar points
    differ small. Where the points go through an invertible map first, the cosines stay, but for the
    ridge.

    Args:
        points: Z, `[n, k]`.
        similarities: W, `[n, n]`.
        ridge: As in the loss.

    Returns:
        The mean, weighted by D, `[k]`, and the directions `[k, k]`, float64.
    """
    mean, factor, m = _whitened(points, similarities, ridge)
    values, vectors = tf.linalg.eigh(m)
    vectors *= tf.maximum(values, 0.0)
    return mean, tf.linalg.triangular_solve(factor, vectors, adjoint=True)


def _whitened(points, similarities, ridge: float):
    """The mean, C and M of `balanced_spectrum`, float64."""
    z, w = tf.cast(points, tf.float64), tf.cast(similarities, tf.float64)
    degrees = tf.reduce_sum(w, axis=1, keepdims=True)
    mean = tf.reduce_sum(degrees * z, axis=0) / tf.reduce_sum(degrees)
    z -= mean
    within = tf.matmul(z, degrees * z, transpose_a=True)
    between = tf.matmul(z, tf.matmul(w, z), transpose_a=True)
    # The last number is for points that are all alike, whose matrix is zero.
    diagonal = tf.linalg.diag_part(within)
    diagonal += ridge * tf.reduce_mean(diagonal) + 1e-12
    factor = tf.linalg.cholesky(tf.linalg.set_diag(within, diagonal))
    half = tf.linalg.triangular_solve(factor, between)
    return mean, factor, tf.linalg.triangular_solve(factor, tf.transpose(half))


def similarity_graph(images, texts, labels, neighbours: int):
    """W of the points of both modalities, the images first: `[2 n, 2 n]`.

    W_ij is 1 of an image and its text, of points with a label that share a class, and of a point
    with itself. Within a modality, where one of both has no label, it is exp(-d^2 / s) if one is
    among the nearest neighbours of the other, d their distance, s the mean of d^2 over all
    neighbours. It is 0 elsewhere.

    Args:
        images: Features `[n, d_image]`.
        texts: Features `[n, d_text]`.
        labels: Multi-hot `[n, classes]`; a row without a label is a row of zeros.
        neighbours: Of each point, itself not counted; fewer than n.
    """
    shared = similarity(labels, labels) > 0
    same = tf.cast(shared | tf.eye(tf.shape(labels)[0], dtype=tf.bool), tf.float32)
    known = tf.reduce_any(labels > 0, axis=1)
    both = known[:, None] & known[None]
    of_images, of_texts = (
        tf.where(both, same, tf.maximum(same, _heat(tf.cast(rows, tf.float32), neighbours)))
        for rows in (images, texts)
    )
    above, below = [of_images, same], [same, of_texts]
    return tf.concat([tf.concat(above, axis=1), tf.concat(below, axis=1)], axis=0)


def _heat(rows, neighbours: int):
    """exp(-d^2 / s) of neighbours, 0 elsewhere, `[n, n]`."""
    rows -= tf.reduce_mean(rows, axis=0)
    lengths = tf.reduce_sum(rows**2, axis=1)
    squares = lengths[:, None] + lengths[None] - 2 * tf.matmul(rows, rows, transpose_b=True)
    itself = tf.fill(tf.shape(lengths), float("inf"))
    squares = tf.linalg.set_diag(tf.maximum(squares, 0.0), itself)
    nearest, _ = tf.math.top_k(-squares, neighbours)
    near = squares <= -nearest[:, -1:]
    near |= tf.transpose(near)
    scale = tf.reduce_mean(tf.boolean_mask(squares, near))
    return tf.where(near, tf.exp(-tf.math.divide_no_nan(squares, scale)), 0.0)
