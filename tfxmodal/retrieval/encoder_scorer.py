"""What scorers of two encoders share: how features become embeddings."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.lazy import keras, tf
from tfxmodal.retrieval.scorer import Scorer


class EncoderScorer(Scorer):
    """Embeds with one model a modality; subclasses say how embeddings are scored.

    Args:
        image_model: Image features `[batch, d_image]` to embeddings `[batch, d]`.
        text_model: Text features `[batch, d_text]` to embeddings `[batch, d]`.
        batch_size: Rows that are read and embedded at a time.
    """

    def __init__(self, image_model: keras.Model, text_model: keras.Model, batch_size: int = 1024):
        self._image_function = _inference(image_model)
        self._text_function = _inference(text_model)
        self._batch_size = batch_size

    def embed_images(self, features: Features) -> np.ndarray:
        """Image features `[n, d_image]` to embeddings `[n, d]`, float32."""
        return self._embed(self._image_function, features)

    def embed_texts(self, features: Features) -> np.ndarray:
        """Text features `[m, d_text]` to embeddings `[m, d]`, float32."""
        return self._embed(self._text_function, features)

    # In graphs, by operations that any server runs: none that XLA compiles.

    def graph_score(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """`score` in a graph."""
        return self.graph_score_rows(self.graph_images(images), self.graph_texts(texts))

    def graph_images(self, images: tf.Tensor) -> tf.Tensor:
        """What of a score is an image's alone, so that a gallery's is computed but once."""
        return images

    def graph_texts(self, texts: tf.Tensor) -> tf.Tensor:
        """What of a score is a text's alone."""
        return texts

    @abstractmethod
    def graph_score_rows(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Scores of all pairs `[n, m]`, of what `graph_images` and `graph_texts` return."""

    @abstractmethod
    def graph_score_pairs(self, images: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """`score_pairs` in a graph."""

    def _embed(self, function, features: Features) -> np.ndarray:
        step = self._batch_size
        starts = range(0, max(1, len(features)), step)  # one empty batch gives [0, d]
        return np.concatenate([function(features[i : i + step]).numpy() for i in starts])


def _inference(model: keras.Model):
    """The model as one graph for any number of rows, with the weights it has at each call."""
    dtype = tf.as_dtype(model.inputs[0].dtype)  # whole numbers: pixels or token ids
    rows = tf.TensorSpec(model.inputs[0].shape, dtype if dtype.is_integer else tf.float32)

    def embed(features):
        return tf.cast(model(features, training=False), tf.float32)

    return tf.function(embed, autograph=False).get_concrete_function(rows)
