"""Chance: what scores without any meaning reach."""

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.retrieval.scorer import Scorer


def fit(train: Pairs, validation: Pairs, seed: int = 0, progress=None) -> "ChanceScorer":
    """Learns nothing.

    Args:
        train: Ignored.
        validation: Ignored.
        seed: Of the scores.
        progress: Ignored.
    """
    return ChanceScorer(seed)


class ChanceScorer(Scorer):
    """Scores by the product of vectors drawn at random, whatever the features are."""

    DIM = 64

    def __init__(self, seed: int = 0):
        self._seed = seed

    def embed_images(self, features: Features) -> np.ndarray:
        """Random vectors `[n, 64]`."""
        return self._draw(0, len(features))

    def embed_texts(self, features: Features) -> np.ndarray:
        """Random vectors `[m, 64]`."""
        return self._draw(1, len(features))

    def score(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Products of all pairs, `[n, m]`."""
        return images @ texts.T

    def _draw(self, modality: int, n: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, modality])
        return rng.standard_normal((n, self.DIM), np.float32)
