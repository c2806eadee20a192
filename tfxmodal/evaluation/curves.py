"""Curves over the depth of a ranking, of each query (SCL, Figure 4).

Scores, relevance, ties, empty queries and errors are as in `tfxmodal.evaluation.metrics`; a curve
of a split is `mean_over_queries`.
"""

from collections.abc import Sequence

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.evaluation.metrics import mean, over_blocks, ranked_relevance

RECALLS = tuple(np.linspace(0, 1, 21))
SCOPES = tuple(range(50, 501, 50))


def precision_recall(
    scores: np.ndarray, relevant: np.ndarray, recalls: Sequence[float] = RECALLS
) -> tuple[np.ndarray, np.ndarray]:
    """Precision at fixed levels of recall.

    A query's precision at recall r is interpolated: the highest precision at any recall of r or
    more (the TREC convention), so each curve falls and all queries have a value at each level.

    Args:
        scores: `[q, g]`.
        relevant: bool `[q, g]`.
        recalls: Levels in 0..1.

    Returns:
        The levels and each query's precision there, `[levels]` and `[q, levels]`.
    """
    levels = np.asarray(recalls, np.float64)
    if levels.size == 0 or levels.min() < 0 or levels.max() > 1:
        raise InputError(f"`recalls` must be levels in 0..1; received {recalls}.")

    def of_block(scores, relevant):
        found = ranked_relevance(scores, relevant)
        hits = np.cumsum(found, axis=1)
        precision = hits / np.arange(1, found.shape[1] + 1)
        best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # The first rank with the recall asked for; the slack keeps 0.3 * 10 from needing 4 hits.
        needed = np.maximum(1, np.ceil(hits[:, -1:] * levels - 1e-9))
        first = [np.searchsorted(row, need) for row, need in zip(hits[:, :-1], needed, strict=True)]
        values = np.take_along_axis(best_from_here, np.array(first), axis=1)
        return np.where(relevant.any(axis=1, keepdims=True), values, np.nan)

    return levels, over_blocks(of_block, scores, relevant)


def precision_scope(
    scores: np.ndarray, relevant: np.ndarray, scopes: Sequence[int] = SCOPES
) -> tuple[np.ndarray, np.ndarray]:
    """Precision of the first K retrieved items, for each scope K.

    Args:
        scores: `[q, g]`.
        relevant: bool `[q, g]`.
        scopes: Values of K, from 1; those beyond the gallery become one point at its size.

    Returns:
        The scopes kept, ascending, and each query's precision there, `[scopes]` and `[q, scopes]`.
    """
    depths = np.unique(np.minimum(scopes, scores.shape[1]))
    if depths.size == 0 or depths[0] < 1:
        raise InputError(f"`scopes` must be numbers of items, from 1; received {list(scopes)}.")

    def of_block(scores, relevant):
        hits = np.cumsum(ranked_relevance(scores, relevant, depths[-1]), axis=1)
        return np.where(relevant.any(axis=1, keepdims=True), hits[:, depths - 1] / depths, np.nan)

    return depths, over_blocks(of_block, scores, relevant)


def mean_over_queries(values: np.ndarray) -> np.ndarray:
    """Of values `[q, points]` the mean of each point over the queries that have one, `[points]`."""
    return np.array([mean(column) for column in values.T])
