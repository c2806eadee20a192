"""Relation scores of all pairs of images and texts, without the fused vectors (DRSL, eq. 8).

A linear fusion goes through the first layer once a row (see `tfxmodal.heads.relation_network`),
so that with one hidden layer a pair costs an addition, a ReLU and a multiply-add a unit.
"""

import tensorflow as tf

from tfxmodal.heads.relation_network import RelationWeights

TILE = 512
"""Pairs scored at a time: their activations, 2 MB for 1,024 units, stay in a core's cache."""


def pair_scores(images: tf.Tensor, texts: tf.Tensor, weights: RelationWeights) -> tf.Tensor:
    """Relation scores of all pairs, by plain TensorFlow operations.

    Holds the first layer's output of each row and the activations of one tile, whatever n and m.

    Args:
        images: z_i `[n, dim]`, float32; n may be dynamic.
        texts: z_t `[m, dim]`, float32; m may be dynamic.
        weights: The relation network's.

    Returns:
        R `[n, m]`.
    """
    images, texts = first_layer(images, texts, weights)
    n, m = (tf.shape(rows, tf.int64)[0] for rows in (images, texts))

    def add_tile(start, scores):
        pairs = tf.range(start, tf.minimum(start + TILE, n * m))
        first = _join(tf.gather(images, pairs // m), tf.gather(texts, pairs % m), weights)
        return start + TILE, scores.write(scores.size(), _above_first(first, weights))

    tiles = tf.TensorArray(
        tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None]
    )
    _, tiles = tf.while_loop(
        lambda start, _: start < n * m,
        add_tile,
        (tf.constant(0, tf.int64), tiles),
        parallel_iterations=1,  # One tile in memory.
    )
    return tf.reshape(tiles.concat(), [n, m])


def first_layer(images, texts, weights: RelationWeights):
    """Each row's share of the first layer, `[n, units]` and `[m, units]`, for a linear fusion."""
    if weights.fusion == "multiplication":
        return images, texts
    return images @ weights.image_kernel, texts @ weights.text_kernel + weights.bias


def _join(images, texts, weights: RelationWeights):
    """The first layer's output of aligned rows, `[pairs, units]`."""
    if weights.fusion == "multiplication":
        return images * texts @ weights.image_kernel + weights.bias
    return images + texts


def _above_first(first, weights: RelationWeights):
    rows = tf.nn.relu(first)
    for kernel, bias in weights.hidden:
        rows = tf.nn.relu(rows @ kernel + bias)
    return tf.linalg.matvec(rows, weights.read_out) + weights.read_out_bias
