import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.squared_triplet import squared_triplet

X, P, N = np.random.default_rng(0).normal(size=(3, 6, 4))
P, N = X + 0.7 * P, X + N
WEIGHTS = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])


def oracle(whole, margin, attraction):
    excess = [
        w * (attraction * np.sum((x - p) ** 2) / 2 - np.sum((x - n) ** 2) / 2)
        for x, p, n, w in zip(X, P, N, WEIGHTS, strict=True)
    ]
    if whole:
        return max(0, margin + sum(excess)) / 6
    return sum(w * max(0, margin + e) for e, w in zip(excess, WEIGHTS, strict=True)) / 6


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("margin, attraction", [(0.1, 5.0), (9.0, 1.0)])
def test_equals_the_equation_and_its_gradient(whole, margin, attraction):
    def of(x, p, n):
        gather = tf.identity if whole else None
        return squared_triplet(x, p, n, WEIGHTS, margin, attraction, gather)

    rows = [tf.constant(each) for each in (X, P, N)]
    assert float(of(*rows)) == pytest.approx(oracle(whole, margin, attraction), abs=1e-12)
    assert float(of(*rows)) > 0
    exact, numeric = tf.test.compute_gradient(of, rows)
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


def test_a_row_that_is_right_makes_up_for_another_in_the_batch_alone():
    x, near, far = tf.zeros([2, 1]), tf.constant([[0.0], [1.0]]), tf.constant([[9.0], [1.0]])
    ones = tf.ones([2])
    assert float(squared_triplet(x, near, far, ones, attraction=1.0)) == pytest.approx(0.05)
    assert float(squared_triplet(x, near, far, ones, attraction=1.0, gather=tf.identity)) == 0


@pytest.mark.parametrize("whole", [False, True])
def test_replicas_average_to_the_whole(whole):
    rows = [tf.constant(each) for each in (X, P, N)]

    def loss(own=slice(None), gather=tf.identity):
        return squared_triplet(*(each[own] for each in rows), WEIGHTS[own], gather=gather)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(rows)
        halves, excess = (slice(0, 3), slice(3, 6)), []
        if whole:
            for own in halves:
                loss(own, lambda each: excess.append(each) or each)
            parts = [loss(own, lambda _: tf.concat(excess, axis=0)) for own in halves]
        else:
            parts = [loss(own, None) for own in halves]
        mean, expected = tf.reduce_mean(parts), loss(gather=tf.identity if whole else None)
    np.testing.assert_allclose(mean, expected, atol=1e-12)
    for a, b in zip(tape.gradient(mean, rows), tape.gradient(expected, rows), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
