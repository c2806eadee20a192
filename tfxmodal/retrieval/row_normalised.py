"""Two scores fused by their size among a query's scores, which depend on the gallery (MCSM)."""

from __future__ import annotations

import numpy as np

from tfxmodal.retrieval.cosine import CosineScorer


class RowNormalisedScorer(CosineScorer):
    """The fusion of two spaces by row normalisation, for an evaluation alone.

        R = 1/2 n(R_1) R_2 + 1/2 n(R_2) R_1

    element by element, with the cosines R_1 and R_2 of two spaces, of whose unit vectors the halves
    of an embedding are, and n, which brings a query's scores in the gallery to 0..1. A score hangs
    on the whole gallery, so that none can be served or searched by it.
    """

    is_dot_product = False

    def image_scores(self, texts: np.ndarray, images: np.ndarray) -> np.ndarray:
        """R of texts as queries, `[m, n]`."""
        return self.score(texts, images)

    def score(self, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """R of queries of one modality and a gallery of the other one, a row each."""
        halves = (np.split(each, 2, axis=1) for each in (queries, gallery))
        first, second = (q @ g.T for q, g in zip(*halves, strict=True))
        return (_normalised(first) * second + _normalised(second) * first) / 2


def _normalised(scores: np.ndarray) -> np.ndarray:
    """Each row at 0..1; a row of equal scores at 0."""
    least = scores.min(axis=1, keepdims=True)
    spread = scores.max(axis=1, keepdims=True) - least
    return np.divide(scores - least, spread, out=np.zeros_like(scores), where=spread > 0)
