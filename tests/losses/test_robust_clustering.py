import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.robust_clustering import robust_clustering

LOGITS = np.random.default_rng(0).normal(size=(5, 3))
LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], np.uint8)


def oracle(logits, labels):
    total = 0.0
    for s, y in zip(logits, labels, strict=True):
        p = np.exp(s) / np.exp(s).sum()
        if not y.all():
            total += np.log(1 - y @ p)
    return total / len(logits)


def test_equals_the_equation_and_its_gradient():
    """A row without a class, and one of every class, add nothing."""
    value = float(robust_clustering(tf.constant(LOGITS), LABELS))
    assert value == pytest.approx(oracle(LOGITS, LABELS), abs=1e-12)
    exact, numeric = tf.test.compute_gradient(
        lambda s: robust_clustering(s, LABELS), [tf.constant(LOGITS)]
    )
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)
    assert not exact[0][0, 9:].any() and exact[0][0, :9].all()


def test_a_row_that_contradicts_its_label_pulls_less_than_a_clean_one():
    """As the released code is meant; the cross-entropy does the opposite."""
    logits, labels = tf.constant([[3.0, 0, 0], [3.0, 0, 0]]), np.eye(3)[[0, 1]]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        robust = robust_clustering(logits, labels)
        plain = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
    (clean, wrong), (plain_clean, plain_wrong) = (
        np.abs(tape.gradient(loss, logits)).sum(axis=1) for loss in (robust, plain)
    )
    assert clean > 2 * wrong and plain_wrong > 2 * plain_clean


def test_a_certain_row_stays_finite():
    value = robust_clustering(tf.constant([[1e4, 0.0, 0.0]]), [[1, 0, 0]])
    assert float(value) == pytest.approx(-1e4 + np.log(2))
