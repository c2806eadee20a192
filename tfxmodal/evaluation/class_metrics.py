"""Every metric of a ranking whose right items share a class with the query, from one sort.

Ties, empty queries and errors are as in `tfxmodal.evaluation.metrics`.
"""

import numpy as np

from tfxmodal.evaluation.metrics import over_blocks, ranked_relevance, right_items

CLASS_METRICS = ("map_all", "map_50", "map_r", "r_precision", "ndcg")


def class_metrics(scores: np.ndarray, relevant: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of each query.

    With R right items in the gallery, rel_i whether the i-th of the ranking is one of them, and P_i
    the precision among the first i:

        map_all      1/R sum_i P_i rel_i
        map_50       sum_{i <= 50} P_i rel_i / sum_{i <= 50} rel_i   (DSCMR, SCL)
        map_r        1/R sum_{i <= R} P_i rel_i                      (Musgrave et al., 2020)
        r_precision  1/R sum_{i <= R} rel_i
        ndcg         sum_i rel_i / log2(1 + i)  /  sum_{i <= R} 1 / log2(1 + i)

    `map_50` is 0 where none of the right items is among the first 50.

    Args:
        scores: `[q, g]`.
        relevant: bool `[q, g]`.

    Returns:
        By `CLASS_METRICS` float64 `[q]` in 0..1; NaN for a query without any right item.

    Raises:
        InputError: If shapes differ or a score is NaN.
    """
    discounts = 1 / np.log2(np.arange(2, 2 + scores.shape[1]))
    ideal = np.concatenate([[np.nan], np.cumsum(discounts)])

    def of_block(scores, relevant):
        queries, places, nth = right_items(ranked_relevance(scores, relevant))
        right = np.count_nonzero(relevant, axis=1)

        def total(values):
            return np.bincount(queries, values, minlength=len(scores))

        precisions, among_50, among_r = nth / places, places <= 50, places <= right[queries]
        in_50 = total(precisions * among_50) / np.maximum(total(among_50), 1)
        map_50 = np.where(right, in_50, np.nan)
        some = np.where(right, right, np.nan)
        sums = precisions, precisions * among_r, among_r
        map_all, map_r, r_precision = (total(each) / some for each in sums)
        ndcg = total(discounts[places - 1]) / ideal[right]
        return np.stack([map_all, map_50, map_r, r_precision, ndcg], axis=1)

    return dict(zip(CLASS_METRICS, over_blocks(of_block, scores, relevant).T, strict=True))
