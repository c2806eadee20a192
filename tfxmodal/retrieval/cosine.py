"""The scorer of a common space: the cosine of an image's and a text's embedding."""

from __future__ import annotations

import numpy as np

from tfxmodal.lazy import tf
from tfxmodal.retrieval.encoder_scorer import EncoderScorer


class CosineScorer(EncoderScorer):
    """Scores by the dot product of unit vectors, that is, the cosine (SCL, section IV-A.2).

    The models' embeddings must have unit norm.
    """

    is_dot_product = True

    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Cosines of all pairs, `[n, m]`."""
        return images @ texts.T

    def score_pairs(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Cosines of aligned pairs, `[n]`."""
        return np.einsum("nd,nd->n", images, texts)

    def graph_score_rows(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Cosines of all pairs, `[n, m]`."""
        return tf.matmul(images, texts, transpose_b=True)

    def graph_score_pairs(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Cosines of aligned pairs, `[n]`."""
        return tf.reduce_sum(images * texts, axis=-1)


class GivenVectors(CosineScorer):
    """Cosines of unit vectors that are there already: the features are the embeddings."""

    def __init__(self):
        """No networks."""

    def embed_images(self, features) -> np.ndarray:
        """The vectors `[n, d]`."""
        return features

    def embed_texts(self, features) -> np.ndarray:
        """The vectors `[m, d]`."""
        return features
