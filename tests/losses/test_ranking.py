import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.ranking import ranking

NUMBERS = np.array([0, 1, 2, 1, 4, 5])  # Pairs 1 and 3 are of one image.
SAME = NUMBERS[:, None] == NUMBERS


def batch():
    rows = np.random.default_rng(0).normal(size=(2, 6, 4))
    return rows / np.linalg.norm(rows, axis=2, keepdims=True)


def oracle(images, texts, margin, hardest):
    """The hinges of one pair after the other."""
    total, summed = 0.0, np.max if hardest else np.mean
    for i in range(6):
        right = images[i] @ texts[i]
        wrong = [j for j in range(6) if NUMBERS[j] != NUMBERS[i]]
        total += summed([max(0, margin - right + images[i] @ texts[j]) for j in wrong])
        total += summed([max(0, margin - right + texts[i] @ images[j]) for j in wrong])
    return total / 6


@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_equals_the_equation_and_its_gradient(hardest, margin):
    images, texts = batch()
    loss = ranking(PairBatch.gathered(images, texts), SAME, margin, hardest)
    assert float(loss) == pytest.approx(oracle(images, texts, margin, hardest), abs=1e-12)
    exact, numeric = tf.test.compute_gradient(
        lambda i, t: ranking(PairBatch.gathered(i, t), SAME, margin, hardest),
        [tf.constant(images), tf.constant(texts)],
    )
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


@pytest.mark.parametrize("hardest", [True, False])
def test_replicas_average_to_the_whole(hardest):
    images, texts = map(tf.constant, batch())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([images, texts])
        whole = ranking(PairBatch.gathered(images, texts), SAME, hardest=hardest)
        parts = []
        for s in (0, 3):
            own = slice(s, s + 3)
            pairs = PairBatch(images[own], texts[own], images, texts, s)
            parts.append(ranking(pairs, SAME[own], hardest=hardest))
        mean = tf.reduce_mean(parts)
    np.testing.assert_allclose(mean, whole, atol=1e-12)
    for a, b in zip(
        tape.gradient(mean, [images, texts]), tape.gradient(whole, [images, texts]), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("hardest", [True, False])
def test_pairs_of_one_image_alone_have_no_wrong_partner(hardest):
    images, texts = map(tf.constant, batch())
    with tf.GradientTape() as tape:
        tape.watch(images)
        same = np.ones((6, 6), bool)
        loss = ranking(PairBatch.gathered(images, texts), same, hardest=hardest)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, images), 0)
