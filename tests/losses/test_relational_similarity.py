import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.relational_similarity import (
    balanced_weights,
    relational_similarity,
    similarity,
)

RNG = np.random.default_rng(0)
IMAGE_LABELS = RNG.integers(0, 2, (5, 3))
TEXT_LABELS = RNG.integers(0, 2, (7, 3))
SCORES = RNG.normal(size=(5, 7))


def target_oracle(image_labels, text_labels):
    """Equation (9), pair by pair; several classes: one in common."""
    return np.array([[float((y_p & y_q).any()) for y_q in text_labels] for y_p in image_labels])


def oracle(scores, target, weights):
    """Equation (10), pair by pair, over the number of images."""
    total = 0.0
    for p, row in enumerate(scores):
        for q, score in enumerate(row):
            total += weights[p, q] * (score - target[p, q]) ** 2
    return total / len(scores)


def test_similarity_equals_equation_9():
    ours = similarity(*(tf.constant(x, tf.float64) for x in (IMAGE_LABELS, TEXT_LABELS)))
    expected = target_oracle(IMAGE_LABELS, TEXT_LABELS)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_equals_equation_10(weighted):
    target = target_oracle(IMAGE_LABELS, TEXT_LABELS)
    weights = RNG.random(target.shape) if weighted else np.ones_like(target)
    ours = relational_similarity(SCORES, target, weights if weighted else None)
    assert float(ours) == pytest.approx(oracle(SCORES, target, weights), rel=1e-12)


def test_gradient_equals_central_differences():
    target = target_oracle(IMAGE_LABELS, TEXT_LABELS)
    exact, numeric = tf.test.compute_gradient(
        lambda scores: relational_similarity(scores, target, balanced_weights(target)),
        [tf.constant(SCORES)],
    )
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)


def test_balanced_weights_give_both_kinds_of_pairs_half():
    target = tf.constant(target_oracle(IMAGE_LABELS, TEXT_LABELS))
    weights = balanced_weights(target).numpy()
    for kind in (0, 1):
        assert weights[target.numpy() == kind].sum() == pytest.approx(target.numpy().size / 2)
        assert np.ptp(weights[target.numpy() == kind]) == 0


@pytest.mark.parametrize("everywhere", [0.0, 1.0])
def test_pairs_of_one_kind_weigh_one(everywhere):
    np.testing.assert_array_equal(balanced_weights(tf.fill([3, 2], everywhere)), 1)
