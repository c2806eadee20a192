import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.squared_distance import squared_distance


def test_equals_numpy_and_halves_average_to_the_whole():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 3))
    expected = np.mean([((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)])
    assert float(squared_distance(a, b)) == pytest.approx(expected)
    halves = [float(squared_distance(a[rows], b[rows])) for rows in (slice(3), slice(3, 6))]
    assert np.mean(halves) == pytest.approx(expected)


def test_it_draws_a_row_to_its_counterpart():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    rows = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = squared_distance(rows, b)
    np.testing.assert_allclose(tape.gradient(loss, rows), 2 / 5 * (a - b))
    assert float(squared_distance(rows, rows)) == 0
