"""Scores as integers, so that one sort of plain numbers carries something beside the score."""

import numpy as np


def descending_bits(scores: np.ndarray) -> np.ndarray:
    """Integers whose ascending order is the descending order of float scores, ties kept.

    The bits of an IEEE float, read as an integer, are already in order among the positive; the
    negative run backwards, so all their bits but the sign are turned over.

    Args:
        scores: float32 or float64, any shape, without NaN; infinities are fine, -0.0 equals 0.0.

    Returns:
        int32 or int64 of the same shape.
    """
    negated = 0 - scores
    integer = np.dtype(f"i{negated.itemsize}")
    bits = negated.view(integer)
    return bits ^ ((bits >> (8 * integer.itemsize - 1)) & np.iinfo(integer).max)
