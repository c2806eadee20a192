"""Relation scores of all pairs of images and texts, without the fused vectors (DRSL, eq. 8).

A linear fusion goes through the first layer once a row, not once a pair (see
`tfxmodal.heads.relation_network`). With one hidden layer, of read-out w, the score is then

    sum_u w_u relu(a_u + b_u) = sum_u w_u max(a_u, -b_u) + sum_u w_u b_u

and only the first sum is left to the pairs: a maximum and a multiply-add a unit. Where z ends in
what scores begin as (`RelationNetwork`), the dot product of that is added.
"""

from __future__ import annotations

import os
from dataclasses import replace

from tfxmodal.heads.relation_network import RelationWeights, start_of
from tfxmodal.lazy import tf

CACHED = 2**16
"""Elements of an element-wise tile: 256 KB stay in a core's cache, and in one thread."""
GEMM_ROWS = 512
"""Pairs at a time where a matrix product takes the time."""
COMPILED_TILE = (256, 512)
"""Images and texts of a compiled tile, whose sums stay in a core's cache."""
UNITS = 16
"""Hidden units that a pass over a compiled tile adds. With 8, XLA no longer vectorises the pass and
needs eight times as long; with 32, what a pass reuses outgrows the registers."""


def separable(weights: RelationWeights) -> bool:
    """Whether a pair costs no matrix product: one hidden layer, and a fusion that splits."""
    return not weights.hidden and weights.text_kernel is not None


def pair_scores(images, texts, weights: RelationWeights, compiled: bool = False) -> tf.Tensor:
    """Relation scores of all pairs.

    Beside the result, a small multiple of it and the first layer of each row, holds the
    activations of a few tiles only, whatever n and m.

    Args:
        images: `weights.of_images` of z_i, `[n, units]`; n may be dynamic.
        texts: `weights.of_texts` of z_t, `[m, units]`; m may be dynamic.
        weights: The relation network's.
        compiled: Score `separable` weights by tiles that XLA compiles; else, and for other
            weights, all is done by TensorFlow's own operations.

    Returns:
        R `[n, m]`.
    """
    if weights.start_dim:
        (images, image_start), (texts, text_start) = _without_start(images, texts, weights)
        plain = replace(weights, start_dim=0)
        return pair_scores(images, texts, plain, compiled) + tf.matmul(
            image_start, text_start, transpose_b=True
        )
    if not separable(weights):  # A hidden layer is left to the pairs.
        return _tiled(_aligned(weights), images, texts, GEMM_ROWS) + weights.read_out_bias
    of_texts = tf.linalg.matvec(texts, weights.read_out) + weights.read_out_bias
    sums = _compiled_sums if compiled else _plain_sums
    return sums(images, -texts, weights.read_out) + of_texts


def listed_scores(images, texts, image_rows, text_rows, weights: RelationWeights) -> tf.Tensor:
    """Relation scores of listed pairs.

    Args:
        images: `weights.of_images` of z_i, `[n, units]`; n may be dynamic.
        texts: `weights.of_texts` of z_t, `[m, units]`; m may be dynamic.
        image_rows: `[p]` int32, each pair's row of `images`.
        text_rows: `[p]`, its row of `texts`.
        weights: The relation network's.

    Returns:
        R `[p]`.
    """
    aligned = _aligned(weights)
    tile = CACHED // weights.read_out.shape[0] if separable(weights) else GEMM_ROWS
    p = tf.shape(image_rows)[0]
    rows = tf.reshape(tf.pad([image_rows, text_rows], [[0, 0], [0, -p % tile]]), [2, -1, tile])
    scores = tf.map_fn(
        lambda rows: aligned(tf.gather(images, rows[0]), tf.gather(texts, rows[1])),
        tf.transpose(rows, [1, 0, 2]),
        fn_output_signature=tf.TensorSpec([tile], images.dtype),
        parallel_iterations=os.cpu_count(),
    )
    return tf.reshape(scores, [-1])[:p] + weights.read_out_bias


def aligned_scores(images, texts, weights: RelationWeights) -> tf.Tensor:
    """Relation scores of aligned pairs: what `weights` makes of each, `[n, units]`, to R `[n]`."""
    return _aligned(weights)(images, texts) + weights.read_out_bias


def _aligned(weights: RelationWeights):
    """The scores, less the last bias, of aligned rows: `[pairs, units]` twice to `[pairs]`."""

    def aligned(images, texts):
        if weights.start_dim:
            (images, image_start), (texts, text_start) = _without_start(images, texts, weights)
            cosines = tf.reduce_sum(image_start * text_start, axis=1)
            return cosines + _aligned(replace(weights, start_dim=0))(images, texts)
        if weights.fusion == "multiplication":
            rows = images * texts @ weights.image_kernel + weights.bias
        else:
            rows = images + texts
        rows = tf.nn.relu(rows)
        for kernel, bias in weights.hidden:
            rows = tf.nn.relu(rows @ kernel + bias)
        return tf.linalg.matvec(rows, weights.read_out)

    return aligned


def _without_start(images, texts, weights: RelationWeights):
    """Rows as `of_images` and `of_texts` make them, each as the first layer and the start."""
    k = weights.start_dim
    return [(rows[:, : rows.shape[1] - k], start_of(rows, k)) for rows in (images, texts)]


def _plain_sums(a, b, weights):
    """The sum over units of w max(a, b): a `[n, units]` and b `[m, units]` to `[n, m]`."""
    tile = max(1, CACHED // weights.shape[0])
    return _tiled(lambda a, b: tf.linalg.matvec(tf.maximum(a, b), weights), a, b, tile)


def _tiled(aligned, a, b, tile: int):
    """All pairs by a symmetric function of aligned rows, `[tile, d]` twice to `[tile]`.

    A tile of rows of the longer side meets the other side's rows shifted by 0, 1, ...: both are
    slices, so that nothing is broadcast or copied, which would cost more than the rest.
    """
    n, m = tf.shape(a)[0], tf.shape(b)[0]
    swapped = n < m
    a, b = tf.cond(swapped, lambda: (b, a), lambda: (a, b))
    n, m = tf.maximum(n, m), tf.minimum(n, m)
    cyclic = tf.gather(b, tf.range(tf.where(m > 0, m + tile - 1, 0)) % tf.maximum(m, 1))

    def add_tile(start, tiles):
        rows = a[start : start + tile]
        size = tf.shape(rows)[0]
        shifted = tf.map_fn(
            lambda shift: aligned(rows, cyclic[shift : shift + size]),
            tf.range(m),
            fn_output_signature=tf.TensorSpec([None], a.dtype),
            parallel_iterations=1,
        )  # [m, size]: row r of the tile with column (shift + r) % m
        shifts = (tf.range(m) - tf.range(size)[:, None]) % m
        scores = tf.gather(tf.transpose(shifted), shifts, batch_dims=1)
        return start + tile, tiles.write(start // tile, scores)

    tiles = tf.TensorArray(
        a.dtype, (n + tile - 1) // tile, infer_shape=False, element_shape=[None, None]
    )
    some = m > 0  # A session, unlike a function called eagerly, cannot stack an empty list.
    _, tiles = tf.while_loop(lambda start, _: some & (start < n), add_tile, (0, tiles))
    scores = tf.cond(some, tiles.concat, lambda: tf.zeros([0, 0], a.dtype))
    scores = tf.reshape(scores, [n, m])
    return tf.cond(swapped, lambda: tf.transpose(scores), lambda: scores)


def _compiled_sums(a, b, weights):
    """As `_plain_sums`, by tiles of one shape; rows and units are filled up with zeros."""
    n, m = tf.shape(a)[0], tf.shape(b)[0]
    rows, columns = COMPILED_TILE
    units = -weights.shape[0] % UNITS
    a = tf.pad(tf.transpose(a), [[0, units], [0, -n % rows]])
    b = tf.pad(tf.transpose(b), [[0, units], [0, -m % columns]])
    weights = tf.pad(weights, [[0, units]])
    down, across = tf.shape(a)[1] // rows, tf.shape(b)[1] // columns

    def tile(index):
        i, j = index // across * rows, index % across * columns
        return _compiled_tile(
            tf.ensure_shape(a[:, i : i + rows], [weights.shape[0], rows]),
            tf.ensure_shape(b[:, j : j + columns], [weights.shape[0], columns]),
            weights,
        )

    tiles = tf.map_fn(
        tile,
        tf.range(down * across),
        fn_output_signature=tf.TensorSpec(COMPILED_TILE, a.dtype),
        parallel_iterations=os.cpu_count(),
    )
    tiles = tf.reshape(tiles, [down, across, rows, columns])
    scores = tf.reshape(tf.transpose(tiles, [0, 2, 1, 3]), [down * rows, across * columns])
    return scores[:n, :m]


@tf.function(jit_compile=True, autograph=False)
def _compiled_tile(a, b, weights):
    """The sum over units of w max(a, b): a `[units, n]` and b `[units, m]` to `[n, m]`.

    XLA makes one pass over the sums of `UNITS` at a time, which also rounds less than one by one.
    """
    rows, columns = a.shape[1], b.shape[1]

    def add_units(unit, sums):
        own = tf.slice(a, [unit, 0], [UNITS, rows])
        other = tf.slice(b, [unit, 0], [UNITS, columns])
        own_weights = tf.slice(weights, [unit], [UNITS])
        terms = [own_weights[i] * tf.maximum(own[i][:, None], other[i]) for i in range(UNITS)]
        return unit + UNITS, sums + tf.add_n(terms)

    zeros = tf.zeros([rows, columns], a.dtype)
    return tf.while_loop(lambda unit, _: unit < a.shape[0], add_units, (0, zeros))[1]
