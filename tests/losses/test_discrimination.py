import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.discrimination import discrimination

LOGITS = np.random.default_rng(0).normal(size=(5, 1))
WEIGHTS = np.array([0.0, 1.0, 0.5, 2.0, 1.0])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("real", [True, False])
def test_equals_the_equation(real, weights):
    expected = 0.0
    for (s,), w in zip(LOGITS, np.ones(5) if weights is None else weights, strict=True):
        p = 1 / (1 + np.exp(-s))
        expected -= w * np.log(p if real else 1 - p) / 5
    assert float(discrimination(LOGITS, real, weights)) == pytest.approx(expected, abs=1e-12)


def test_of_equal_distributions_the_best_answer_costs_2_log_2():
    def loss(s):
        return sum(float(discrimination(np.array([[s]]), real)) for real in (True, False))

    assert loss(0.0) == pytest.approx(2 * np.log(2))
    assert loss(0.0) < min(loss(0.1), loss(-0.1))


def test_large_logits_stay_finite():
    logits = tf.constant([[-1e4], [1e4]])
    assert float(discrimination(logits, True)) == float(discrimination(logits, False)) == 5e3
