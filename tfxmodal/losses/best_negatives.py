"""Which row of a batch is set against each anchor."""

from __future__ import annotations

from tfxmodal.lazy import tf
from tfxmodal.losses.relational_similarity import similarity


def best_negatives(preferences, labels, all_labels):
    """The row that an anchor prefers among those with which it shares no class.

    Args:
        preferences: Higher is better, `[n, N]`.
        labels: Of the anchors, multi-hot `[n, classes]`.
        all_labels: Of the rows of the global batch, `[N, classes]`.

    Returns:
        The number of the row `[n]`, and 1 where there is such a row, else 0, `[n]`.
    """
    others = similarity(labels, all_labels) == 0
    rows = tf.argmax(tf.where(others, preferences, preferences.dtype.min), axis=1)
    return rows, tf.cast(tf.reduce_any(others, axis=1), preferences.dtype)
