"""Chance: what scores without any meaning reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.methods.spec import Fitted, MethodSpec
from tfxmodal.retrieval.scorer import Scorer


@dataclass(frozen=True)
class ChanceConfig:
    """Chance, which has nothing to set."""


def fit(
    train: Pairs, validation: Pairs, config: ChanceConfig, select_by="auto", seed=0, progress=None
) -> Chance:
    """Learns nothing: all arguments but `seed`, that of the scores, are ignored."""
    return Chance(seed)


class Chance(Fitted):
    """Scores without meaning, which need no networks."""

    def __init__(self, seed: int):
        super().__init__(networks={}, chosen={"seed": seed})

    def scorer(self) -> ChanceScorer:
        """Products of random vectors."""
        return ChanceScorer(self.chosen["seed"])


class ChanceScorer(Scorer):
    """Scores by the product of vectors drawn at random, whatever the features are."""

    DIM = 64
    is_dot_product = True

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


SPEC = MethodSpec(
    name="random",
    title="Chance",
    source="scores without meaning, the floor of every table",
    setting="unsupervised",
    config=ChanceConfig,
    fit=fit,
    reopen=lambda networks, chosen: Chance(**chosen),
    needs_pairs=False,
)
