import numpy as np
import tensorflow as tf

from tfxmodal.losses.best_negatives import best_negatives

LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]], float)


def test_it_is_the_preferred_row_that_shares_no_class():
    preferences = np.random.default_rng(0).normal(size=(5, 5)) - 5  # Below 0, as cosines may be.
    rows, there = best_negatives(tf.constant(preferences), LABELS, LABELS)
    for i in range(4):
        allowed = [j for j in range(5) if not (LABELS[i] * LABELS[j]).any()]
        assert rows[i] == max(allowed, key=lambda j, i=i: preferences[i, j])
    np.testing.assert_array_equal(there, [1, 1, 1, 1, 0])  # The last one shares a class with all.


def test_a_replicas_anchors_are_set_against_the_global_batch():
    preferences = tf.constant(np.random.default_rng(1).normal(size=(5, 5)))
    whole, _ = best_negatives(preferences, LABELS, LABELS)
    part, _ = best_negatives(preferences[2:4], LABELS[2:4], LABELS)
    np.testing.assert_array_equal(part, whole[2:4])
