"""The one interface that evaluation, export, serving and search know of a trained model."""

from abc import ABC, abstractmethod

import numpy as np

from tfxmodal.retrieval.ordering import descending_bits

BLOCK = 2**24
"""Scores that `top_k` holds at a time, 64 MB, beside their keys of 128 MB."""


class Scorer(ABC):
    """Embeds images and texts, and scores an image with a text.

    `images` and `texts` below are embeddings as `embed_images` and `embed_texts` return them; a
    higher score is a better match. Subclasses give the two embeddings and `score`.

    Attributes:
        is_dot_product: Whether the score is the dot product of the embeddings, so that an index
            may search the embeddings themselves.
        is_hamming: Whether the embeddings are binary codes, unit vectors of numbers of one size.
    """

    is_dot_product = False
    is_hamming = False

    @abstractmethod
    def embed_images(self, features) -> np.ndarray:
        """Image features `[n, d_image]` to embeddings `[n, d]`, in batches."""

    @abstractmethod
    def embed_texts(self, features) -> np.ndarray:
        """Text features `[m, d_text]` to embeddings `[m, d]`, in batches."""

    @abstractmethod
    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of all pairs, `[n, m]` float32."""

    def text_scores(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores `[n, m]` by which each image ranks all texts of the gallery."""
        return self.score(images, texts)

    def image_scores(self, texts: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Scores `[m, n]` by which each text ranks all images of the gallery."""
        return self.score(images, texts).T

    def score_pairs(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Scores of aligned pairs: `[n, d]` and `[n, d]` to `[n]`."""
        return np.array(
            [self.score(i[None], t[None])[0, 0] for i, t in zip(images, texts, strict=True)],
            np.float32,
        )

    def score_listed(self, images, texts, image_rows, text_rows) -> np.ndarray:
        """Scores of listed pairs, where rows are in several of them.

        Args:
            images: `[n, d]`.
            texts: `[m, d]`.
            image_rows: `[p]` integers, each pair's row of `images`.
            text_rows: `[p]`, its row of `texts`.

        Returns:
            `[p]` float32.
        """
        return self.score_pairs(images[image_rows], texts[text_rows])

    def top_k(self, images: np.ndarray, texts: np.ndarray, k: int):
        """The best `k` texts of each image, without holding all scores.

        For the best images of each text, see `top_k_images`.

        Args:
            images: The queries, `[n, d]`.
            texts: The gallery, `[m, d]`.
            k: Texts of each image.

        Returns:
            Text indices `[n, k]`, best first (the lower index first among ties), and scores
            `[n, k]`; `k` is cut to the gallery's size.
        """
        chunk = _rows(texts)
        parts = [
            best(self.text_scores(images[i : i + chunk], texts), k)
            for i in range(0, len(images), chunk)
        ]
        return _stack(parts, k, len(texts))

    def top_k_images(self, texts: np.ndarray, images: np.ndarray, k: int):
        """The best `k` images of each text: indices `[m, k]` and scores `[m, k]`."""
        chunk = _rows(images)
        parts = [
            best(self.image_scores(texts[j : j + chunk], images), k)
            for j in range(0, len(texts), chunk)
        ]
        return _stack(parts, k, len(images))


def _rows(gallery: np.ndarray) -> int:
    """Queries whose scores with the gallery make a block."""
    return max(1, BLOCK // max(1, len(gallery)))


def best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` highest scores of each row, of equal ones the first.

    Args:
        scores: `[q, g]`.
        k: At most g are there.

    Returns:
        Columns `[q, k]`, best first, and their scores `[q, k]`.
    """
    # Keys of score and column, so that the column breaks ties.
    keys = descending_bits(scores.astype(np.float32)).astype(np.int64) << 32
    keys |= np.arange(scores.shape[1])
    if k < scores.shape[1]:
        keys.partition(k - 1, axis=1)
    order = np.sort(keys[:, :k], axis=1) & (2**32 - 1)
    return order, np.take_along_axis(scores, order, axis=1)


def _stack(parts, k: int, gallery: int) -> tuple[np.ndarray, np.ndarray]:
    if not parts:
        shape = (0, min(k, gallery))
        return np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    indices, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return indices, scores
