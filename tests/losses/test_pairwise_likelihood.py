import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.pairwise_likelihood import pairwise_likelihood

RNG = np.random.default_rng(0)
IMAGES, TEXTS = RNG.normal(size=(2, 6, 4))
SIMILAR = RNG.integers(0, 2, (6, 6))
SIMILAR = np.float64(SIMILAR | SIMILAR.T)


def loss(images, texts, similar=SIMILAR):
    return pairwise_likelihood(PairBatch.gathered(images, texts), similar)


def oracle(images, texts, similar):
    """J2, cosine by cosine."""
    total = 0.0
    for left, right in ((images, texts), (images, images), (texts, texts)):
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                gamma = a @ b / np.linalg.norm(a) / np.linalg.norm(b) / 2
                total += np.log(1 + np.exp(gamma)) - similar[i, j] * gamma
    return total / len(images) ** 2


@pytest.mark.parametrize("similar", [SIMILAR, 2 * SIMILAR, np.zeros((6, 6)), np.ones((6, 6))])
def test_equals_the_equation(similar):
    expected = oracle(IMAGES, TEXTS, similar)
    assert float(loss(IMAGES, TEXTS, similar)) == pytest.approx(expected, abs=1e-12)


def test_gradient_equals_central_differences():
    exact, numeric = tf.test.compute_gradient(loss, [tf.constant(IMAGES), tf.constant(TEXTS)])
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


def test_modalities_may_be_swapped():
    assert float(loss(IMAGES, TEXTS)) == pytest.approx(float(loss(TEXTS, IMAGES)), abs=1e-12)


def test_vectors_of_zeros_tell_nothing_and_have_a_finite_gradient():
    zeros = tf.zeros([6, 4], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        value = loss(zeros, zeros)
    assert float(value) == pytest.approx(3 * np.log(2), abs=1e-12)
    assert np.isfinite(tape.gradient(value, zeros)).all()


def test_replicas_average_to_the_whole():
    parts = []
    for s in (0, 3):
        own = slice(s, s + 3)
        pairs = PairBatch(IMAGES[own], TEXTS[own], IMAGES, TEXTS, s)
        parts.append(pairwise_likelihood(pairs, SIMILAR[own]))
    assert np.mean(parts) == pytest.approx(float(loss(IMAGES, TEXTS)), abs=1e-12)
