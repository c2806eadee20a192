"""The scorer of a relation network: R of an image's and a text's embedding (DRSL, eq. 5)."""

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.heads.relation_network import RelationNetwork
from tfxmodal.retrieval.encoders import EncoderScorer
from tfxmodal.retrieval.pair_scores import pair_scores

BLOCK = 4096
"""Rows a side scored at a time: each costs a first layer once a block, 16 MB for 1,024 units."""


class RelationScorer(EncoderScorer):
    """Scores by the relation network, exactly, in bounded memory beside the scores.

    The weights are those of the moment of each call.

    Args:
        image_model: Image features `[batch, d_image]` to z_i `[batch, d]`.
        text_model: Text features `[batch, d_text]` to z_t `[batch, d]`.
        relation: Scores z_i with z_t.
        batch_size: Rows that are read and embedded, or pairs that are scored, at a time.
    """

    def __init__(
        self,
        image_model: keras.Model,
        text_model: keras.Model,
        relation: RelationNetwork,
        batch_size: int = 1024,
    ):
        super().__init__(image_model, text_model, batch_size)
        rows = [tf.TensorSpec(model.outputs[0].shape) for model in (image_model, text_model)]
        self._all_pairs = tf.function(
            lambda images, texts: pair_scores(images, texts, relation.weights_for_inference())
        ).get_concrete_function(*rows)
        self._aligned = tf.function(
            lambda images, texts: tf.cast(relation(images, texts), tf.float32)
        ).get_concrete_function(*rows)

    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Relation scores of all pairs, `[n, m]`."""
        scores = np.empty([len(images), len(texts)], np.float32)
        for i in range(0, len(images), BLOCK):
            for j in range(0, len(texts), BLOCK):
                rows, columns = slice(i, i + BLOCK), slice(j, j + BLOCK)
                scores[rows, columns] = self._all_pairs(images[rows], texts[columns]).numpy()
        return scores

    def score_pairs(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Relation scores of aligned pairs, `[n]`."""
        step = self._batch_size
        scores = np.empty(len(images), np.float32)
        for i in range(0, len(images), step):
            rows = slice(i, i + step)
            scores[rows] = self._aligned(images[rows], texts[rows]).numpy()
        return scores
