"""Hubness: whether a few items of a gallery are found by many queries."""

import numpy as np


def hubness(found: np.ndarray, gallery: int) -> float:
    """Skewness of how often the items of a gallery are found (Radovanovic et al., 2010).

    With N the number of queries that find an item, over the items:

        S = E[(N - E N)^3] / E[(N - E N)^2]^(3/2)

    Above 0 a few items, the hubs, are found by many queries.

    Args:
        found: Columns `[q, k]` that each query finds first.
        gallery: How many items there are.

    Returns:
        S; NaN where all items are found equally often.
    """
    from scipy.stats import skew

    times = np.bincount(found.ravel(), minlength=gallery)
    return float(skew(times)) if times.min() < times.max() else float("nan")
