"""Retrieval metrics: pure functions of a score matrix and of what is relevant.

Rows are queries, columns the gallery, a higher score a better match; scores are used as they are,
negative ones too. Three rules hold for every metric here:

- Ties: among equal scores the relevant items rank last. The result does not depend on the
  gallery's order, and a scorer that returns a constant earns nothing by it.
- Queries without any relevant item give NaN and are left out of means (`mean`).
- A NaN score is an error. Scores compare exactly as float32; float64 scores compare exactly but
  for their last bit.

Rows are worked on in small blocks on all cores, so the memory beside the arguments stays small.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.retrieval.ordering import descending_bits

BLOCK = 2**18  # elements of a block, so that its 8-byte keys stay in a core's cache


def relevance(query_labels: np.ndarray, gallery_labels: np.ndarray) -> np.ndarray:
    """Whether query and gallery item share at least one class.

    Args:
        query_labels: Multi-hot `[q, classes]`.
        gallery_labels: Multi-hot `[g, classes]`.

    Returns:
        bool `[q, g]`.
    """
    if query_labels.ndim != 2 or query_labels.shape[1:] != gallery_labels.shape[1:]:
        raise InputError(
            "Query and gallery labels must be multi-hot over the same classes; received shapes "
            f"{query_labels.shape} and {gallery_labels.shape}: give [queries, classes] and "
            "[gallery, classes]."
        )
    queries, gallery = query_labels.astype(np.float32), gallery_labels.astype(np.float32).T
    relevant = np.empty((len(query_labels), len(gallery_labels)), bool)
    for rows in _row_blocks(relevant.shape, 2**23):  # few products: each wakes BLAS's threads
        np.greater(queries[rows] @ gallery, 0, out=relevant[rows])
    return relevant


def ranks(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Rank of the best-ranked relevant item of each query, from 1, by counting, without a sort.

    With several right captions an image this is "any of them", as the field reports R@K
    (Karpathy and Fei-Fei 2015; VSE++): the rank of an image's best caption.

    Args:
        scores: `[q, g]`.
        relevant: bool `[q, g]`: the right items.

    Returns:
        float64 `[q]`; NaN for a query without any relevant item.

    Raises:
        InputError: If shapes differ or a score is NaN.
    """

    def of_block(scores, relevant):
        best, own = _best_right(scores, relevant)
        ahead = np.count_nonzero(scores >= best[:, None], axis=1)
        return np.where(relevant.any(axis=1), 1.0 + ahead - own, np.nan)

    return over_blocks(of_block, scores, relevant)


def ties(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """How many wrong items have the score of the best right one, of each query.

    `ranks` puts them before it. Equal items, such as duplicates, have equal scores.

    Args:
        scores: `[q, g]`.
        relevant: bool `[q, g]`: the right items.

    Returns:
        int `[q]`; 0 for a query without any relevant item.

    Raises:
        InputError: If shapes differ or a score is NaN.
    """

    def of_block(scores, relevant):
        best, own = _best_right(scores, relevant)
        equal = np.count_nonzero(scores == best[:, None], axis=1)
        return np.where(relevant.any(axis=1), equal - own, 0)

    return over_blocks(of_block, scores, relevant)


def _best_right(scores: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each query the score of the best right item, and how many right items have it."""
    rows, columns = np.nonzero(relevant)
    values = scores[rows, columns]
    best = np.full(len(scores), -np.inf, scores.dtype)
    np.maximum.at(best, rows, values)
    return best, np.bincount(rows[values == best[rows]], minlength=len(scores))


def recall_at(ranks: np.ndarray, ks: Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """Share of the queries whose first right item is among the first k, for each k."""
    ranks = ranks[~np.isnan(ranks)]
    return {k: mean(ranks <= k) for k in ks}


def median_rank(ranks: np.ndarray) -> float:
    """Median of `ranks`; NaN if no query has a relevant item."""
    ranks = ranks[~np.isnan(ranks)]
    return float(np.median(ranks)) if len(ranks) else float("nan")


def mean(values: np.ndarray) -> float:
    """Mean over the queries that have a value (are not NaN); NaN if none has."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def ranked_relevance(scores: np.ndarray, relevant: np.ndarray, k: int | None = None) -> np.ndarray:
    """The relevance of the gallery in the order of its ranking, `[q, min(k, g)]` of 0 and 1.

    One sort of values: the relevance rides as the lowest bit of the score's key, so equal scores
    are followed by their relevance, 0 first.
    """
    keys = descending_bits(scores.astype(np.float64))
    keys &= -2
    keys |= relevant
    if k is not None and k < keys.shape[1]:
        keys.partition(k - 1, axis=1)
        keys = keys[:, :k].copy()
    keys.sort(axis=1)
    keys &= 1
    return keys


def right_items(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The right items of rankings, query by query and best first.

    Args:
        found: What `ranked_relevance` returns, `[q, depth]`.

    Returns:
        Of each its query, its place from 1, and how many right items are up to it, each `[items]`.
    """
    queries, columns = np.divmod(np.flatnonzero(found), found.shape[1])
    counts = np.bincount(queries, minlength=len(found))
    nth = np.arange(1, len(queries) + 1) - (np.cumsum(counts) - counts)[queries]
    return queries, columns + 1, nth


def over_blocks(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scores: np.ndarray,
    relevant: np.ndarray,
) -> np.ndarray:
    """Applies `function(scores, relevant)` to blocks of rows, on threads, and concatenates.

    NumPy's sorts and loops release the interpreter lock.
    """
    if scores.ndim != 2 or scores.shape != relevant.shape or not scores.size:
        raise InputError(
            "Scores and relevance must both be [queries, gallery] and not empty; received shapes "
            f"{scores.shape} and {relevant.shape}: give one row a query."
        )
    if relevant.dtype != bool:
        raise InputError(
            f"Relevance must be boolean; received {relevant.dtype}: use `relevance(labels, labels)`"
            " or compare the ids of queries and gallery."
        )

    def checked(rows):
        if np.isnan(scores[rows]).any():
            raise InputError(
                f"Scores must not be NaN; received some in queries {rows.start} to "
                f"{min(rows.stop, len(scores)) - 1}: look for NaN in features or weights."
            )
        return function(scores[rows], relevant[rows])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(checked, _row_blocks(scores.shape, BLOCK))))


def _row_blocks(shape: tuple[int, int], elements: int) -> list[slice]:
    step = max(1, elements // max(1, shape[1]))
    return [slice(start, start + step) for start in range(0, shape[0], step)]
