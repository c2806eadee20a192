import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.margin_contrastive import margin_contrastive
from tfxmodal.losses.pair_batch import PairBatch

RNG = np.random.default_rng(0)
U, V = RNG.normal(size=(2, 6, 3)) / 2
SAME = RNG.integers(0, 2, (6, 6)).astype(float)


def loss(u, v, same, margin=1.0) -> float:
    return float(margin_contrastive(PairBatch.gathered(u, v), same, margin))


def oracle(u, v, same, margin):
    total = 0.0
    for i in range(len(u)):
        for j in range(len(v)):
            d = np.linalg.norm(u[i] - v[j])
            total += d**2 if same[i, j] else max(0.0, margin - d) ** 2
    return total / (2 * len(u))


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_equals_numpy(margin):
    assert loss(U, V, SAME, margin) == pytest.approx(oracle(U, V, SAME, margin))


def test_of_one_class_it_is_the_squared_distances():
    squares = ((U[:, None] - V[None]) ** 2).sum()
    assert loss(U, V, np.ones((6, 6))) == pytest.approx(squares / 12)


def test_others_at_the_margin_cost_nothing():
    assert loss(np.zeros((6, 3)), np.eye(3)[[0, 1, 2] * 2], np.zeros((6, 6))) < 1e-9


def test_replicas_average_to_the_whole():
    halves = [
        margin_contrastive(PairBatch(U[rows], V[rows], U, V), SAME[rows])
        for rows in (slice(3), slice(3, 6))
    ]
    assert np.mean(halves) == pytest.approx(loss(U, V, SAME))


def test_points_that_coincide_have_a_finite_gradient():
    u = tf.ones((4, 3))
    with tf.GradientTape() as tape:
        tape.watch(u)
        value = margin_contrastive(PairBatch.gathered(u, u), tf.eye(4))
    assert np.isfinite(tape.gradient(value, u)).all()
