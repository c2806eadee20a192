"""The scorer of binary codes: the cosine of codes, which is 1 - 2 Hamming / bits."""

from __future__ import annotations

import numpy as np

from tfxmodal.lazy import tf
from tfxmodal.retrieval.cosine import CosineScorer

BIT_VALUES = (128, 64, 32, 16, 8, 4, 2, 1)
"""Of the bits of a byte, the first one first, as in `numpy.packbits`."""


class HammingScorer(CosineScorer):
    """Scores codes, unit vectors whose numbers are of one size, by their signs.

    The sums are of whole numbers, so that equal Hamming distances are equal scores in any order of
    summation. In graphs, images and texts are packed to bytes first, and so are a gallery's.
    """

    is_hamming = True

    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of all pairs, `[n, m]`."""
        return np.sign(images) @ np.sign(texts).T / np.float32(images.shape[1])

    def score_pairs(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of aligned pairs, `[n]`."""
        return np.sign(images * texts).sum(axis=1) / np.float32(images.shape[1])

    def graph_images(self, images: tf.Tensor) -> tf.Tensor:
        """Codes `[n, bits]` as bytes `[n, bits / 8]`."""
        return _packed(images)

    def graph_texts(self, texts: tf.Tensor) -> tf.Tensor:
        """Codes `[n, bits]` as bytes `[n, bits / 8]`."""
        return _packed(texts)

    def graph_score_rows(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Scores of all pairs of packed codes, `[n, m]`."""
        products = tf.matmul(_signs(images), _signs(texts), transpose_b=True)
        return products / (8 * images.shape[1])

    def graph_score_pairs(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Scores of aligned pairs of codes `[n, bits]`."""
        return tf.reduce_mean(tf.sign(images * texts), axis=-1)


def _packed(codes) -> tf.Tensor:
    bits = tf.cast(tf.reshape(codes, [-1, codes.shape[1] // 8, 8]) > 0, tf.int32)
    return tf.cast(tf.reduce_sum(bits * BIT_VALUES, axis=-1), tf.uint8)


def _signs(packed: tf.Tensor) -> tf.Tensor:
    """Packed codes `[n, bytes]` as -1 and 1, `[n, 8 * bytes]`."""
    bits = tf.bitwise.bitwise_and(packed[..., None], tf.constant(BIT_VALUES, tf.uint8)) > 0
    return tf.reshape(tf.where(bits, 1.0, -1.0), [-1, 8 * packed.shape[1]])
