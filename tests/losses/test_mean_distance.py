import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.mean_distance import mean_distance

RNG = np.random.default_rng(0)
ROWS, OTHERS = RNG.normal(size=(2, 6, 4))
WEIGHTS = np.array([0.0, 2.0, 1.0, 0.0, 0.5, 2.5])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_equals_the_equation(weights):
    w = np.ones(6) if weights is None else weights
    expected = sum(w[i] * np.linalg.norm(ROWS[i] - OTHERS[i]) for i in range(6)) / 6
    assert float(mean_distance(ROWS, OTHERS, weights)) == pytest.approx(expected, abs=1e-10)


def test_replicas_average_to_the_whole():
    halves = [slice(0, 3), slice(3, 6)]
    parts = [mean_distance(ROWS[own], OTHERS[own], WEIGHTS[own]) for own in halves]
    assert np.mean(parts) == pytest.approx(float(mean_distance(ROWS, OTHERS, WEIGHTS)), abs=1e-12)


def test_rows_that_coincide_have_a_finite_gradient():
    rows = tf.zeros([3, 4])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = mean_distance(rows, tf.zeros([3, 4]))
    assert float(loss) == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(tape.gradient(loss, rows), 0)
