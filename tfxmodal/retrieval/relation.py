"""The scorer of a relation network: R of an image's and a text's embedding (DRSL, eq. 5)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from tfxmodal.heads.relation_network import RelationNetwork
from tfxmodal.lazy import keras, tf
from tfxmodal.retrieval.encoder_scorer import EncoderScorer
from tfxmodal.retrieval.pair_scores import aligned_scores, listed_scores, pair_scores, separable

BLOCK = 4096
"""Rows a side scored at a time: each costs a first layer once a block, 16 MB for 1,024 units."""
COMPILED_FROM = 16
"""Rows on the shorter side from which filling up compiled tiles costs less than plain scoring."""


class RelationScorer(EncoderScorer):
    """Scores by the relation network, exactly, in bounded memory beside the scores.

    The weights are those of the moment of each call.

    Args:
        image_model: Image features `[batch, d_image]` to z_i `[batch, d]`.
        text_model: Text features `[batch, d_text]` to z_t `[batch, d]`.
        relation: Scores z_i with z_t.
        batch_size: Rows that are read and embedded, or aligned pairs that are scored, at a time.
        compiled: Let XLA score where that pays: `separable` weights, with `COMPILED_FROM` rows or
            more on both sides. Else TensorFlow's own operations score all.
    """

    def __init__(
        self,
        image_model: keras.Model,
        text_model: keras.Model,
        relation: RelationNetwork,
        batch_size: int = 1024,
        compiled: bool = True,
    ):
        super().__init__(image_model, text_model, batch_size)
        self._relation, self._use_compiled = relation, compiled
        self._rows = [tf.TensorSpec(model.outputs[0].shape) for model in (image_model, text_model)]

    # Graphs, each made when it is first asked for: few need them all.

    @cached_property
    def _plain(self):
        return self._graph(self.graph_score)

    @cached_property
    def _compiled(self):
        if not (self._use_compiled and separable(self._relation.weights_for_inference())):
            return self._plain

        def score(images, texts):
            first = self.graph_images(images), self.graph_texts(texts)
            return self.graph_score_rows(*first, compiled=True)

        return self._graph(score)

    @cached_property
    def _aligned(self):
        return self._graph(self.graph_score_pairs)

    @cached_property
    def _listed(self):
        def score(images, texts, image_rows, text_rows):
            first = self.graph_images(images), self.graph_texts(texts)
            weights = self._relation.weights_for_inference()
            return listed_scores(*first, image_rows, text_rows, weights)

        return self._graph(score, *[tf.TensorSpec([None], tf.int32)] * 2)

    def _graph(self, function, *more: tf.TensorSpec):
        """A function of embeddings, and of `more`, as a graph."""
        return tf.function(function, autograph=False).get_concrete_function(*self._rows, *more)

    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Relation scores of all pairs, `[n, m]`."""
        scores = np.empty([len(images), len(texts)], np.float32)
        for i in range(0, len(images), BLOCK):
            for j in range(0, len(texts), BLOCK):
                rows, columns = slice(i, i + BLOCK), slice(j, j + BLOCK)
                some = images[rows], texts[columns]
                few = min(map(len, some)) < COMPILED_FROM
                scores[rows, columns] = (self._plain if few else self._compiled)(*some).numpy()
        return scores

    def score_pairs(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Relation scores of aligned pairs, `[n]`."""
        step = self._batch_size
        scores = np.empty(len(images), np.float32)
        for i in range(0, len(images), step):
            rows = slice(i, i + step)
            scores[rows] = self._aligned(images[rows], texts[rows]).numpy()
        return scores

    def score_listed(self, images, texts, image_rows, text_rows) -> np.ndarray:
        """Relation scores of listed pairs, `[p]`, each row's first layer computed once."""
        rows = (tf.constant(each, tf.int32) for each in (image_rows, text_rows))
        return self._listed(tf.constant(images), tf.constant(texts), *rows).numpy()

    def graph_images(self, images: tf.Tensor) -> tf.Tensor:
        """Their part of the relation network's first layer, `[n, units]`, where that splits."""
        return self._relation.weights_for_inference().of_images(images)

    def graph_texts(self, texts: tf.Tensor) -> tf.Tensor:
        """Their part of the relation network's first layer, `[m, units]`, where that splits."""
        return self._relation.weights_for_inference().of_texts(texts)

    def graph_score_rows(self, images, texts, compiled: bool = False) -> tf.Tensor:
        """Relation scores of all pairs, `[n, m]`."""
        return pair_scores(images, texts, self._relation.weights_for_inference(), compiled)

    def graph_score_pairs(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Relation scores of aligned pairs, `[n]`."""
        first = self.graph_images(images), self.graph_texts(texts)
        return aligned_scores(*first, self._relation.weights_for_inference())
