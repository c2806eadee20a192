"""Vectors whose dot products follow relation scores, so that a relation network can be searched.

A trained relation network's scores are nearly of low rank, since its target is a matrix of class
blocks. Of an item g of the gallery take the exact scores against some hundred training items of
the query's modality, the landmarks: v_g [landmarks]. For a query q look for the u_q whose dot
products with the v of training items of the gallery's modality come nearest to their exact scores
s_q, by regularised least squares:

    u_q = argmin_u |V u - s_q|^2 + ridge |u|^2 = (V^T V + ridge I)^-1 V^T s_q

V is centred, which takes a constant from all scores of a query and leaves its ranking; it is kept
to its first principal components, V = A S B^T, since searching costs as much as vectors are wide.
Then v_g = B^T (scores - mean), and u_q = S / (S^2 + ridge) A^T s_q: a product with a fixed matrix.
"""

from collections.abc import Callable

import numpy as np

from tfxmodal.retrieval.scorer import Scorer

COMPONENTS = 64
RIDGE = 1e-4
"""Times the mean square singular value; from 1e-6 to 1e-3 the ranking hardly differs."""

BLOCK = 2**16  # items scored at a time

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Exact scores `[q, n]` of queries `[q, d]` and items `[n, d]`."""


class LandmarkSpace:
    """Maps items and queries to vectors whose dot products follow `score`; see the module.

    Args:
        score: Exact scores.
        **arrays: `landmarks`, embeddings `[landmarks, d]` of the query's modality; `items`,
            embeddings `[fit, d]` of the gallery's modality, on which queries are fitted; `mean`,
            `[landmarks]`; `basis`, `[landmarks, components]`, B; `operator`, `[components, fit]`,
            from a query's exact scores to its vector.
    """

    is_exact = False

    def __init__(self, score: Score, **arrays: np.ndarray):
        self._score = score
        self.arrays = arrays

    @classmethod
    def fit(cls, score: Score, landmarks: np.ndarray, items: np.ndarray) -> "LandmarkSpace":
        """Finds the components and the fit from embeddings of training items.

        Args:
            score: Exact scores.
            landmarks: `[landmarks, d]`, of the query's modality.
            items: `[fit, d]`, of the gallery's.
        """
        scores = score(landmarks, items).T.astype(np.float64)
        mean = scores.mean(axis=0)
        left, singular, right = np.linalg.svd(scores - mean, full_matrices=False)
        left, singular, right = left[:, :COMPONENTS], singular[:COMPONENTS], right[:COMPONENTS]
        ridge = RIDGE * np.mean(singular**2) + np.finfo(float).tiny
        operator = (singular / (singular**2 + ridge))[:, None] * left.T
        parts = {"mean": mean, "basis": right.T, "operator": operator}
        parts = {name: part.astype(np.float32) for name, part in parts.items()}
        return cls(score, landmarks=landmarks, items=items, **parts)

    def of_items(self, embeddings: np.ndarray, progress=None) -> np.ndarray:
        """Vectors `[n, components]` of embeddings `[n, d]` of the gallery's modality."""
        landmarks, mean, basis = (self.arrays[name] for name in ("landmarks", "mean", "basis"))
        vectors = np.empty((len(embeddings), basis.shape[1]), np.float32)
        starts = range(0, len(embeddings), BLOCK)
        for i in progress(starts, total=len(starts), desc="landmarks") if progress else starts:
            scores = self._score(landmarks, embeddings[i : i + BLOCK]).T
            vectors[i : i + BLOCK] = (scores - mean) @ basis
        return vectors

    def of_queries(self, embeddings: np.ndarray) -> np.ndarray:
        """Vectors `[q, components]` of embeddings `[q, d]` of the query's modality."""
        return self._score(embeddings, self.arrays["items"]) @ self.arrays["operator"].T


class DotSpace:
    """The space of a scorer whose score is the embeddings' dot product: they are the vectors."""

    is_exact = True

    def of_items(self, embeddings: np.ndarray, progress=None) -> np.ndarray:
        """The embeddings `[n, d]`."""
        return embeddings

    def of_queries(self, embeddings: np.ndarray) -> np.ndarray:
        """The embeddings `[q, d]`."""
        return embeddings


def oriented_score(scorer: Scorer, gallery: str) -> Score:
    """The scorer's `score` for a gallery of `texts` or `images`, with the queries first."""
    if gallery == "texts":
        return scorer.score
    return lambda queries, items: scorer.score(items, queries).T
