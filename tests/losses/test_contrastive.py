import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.contrastive import contrastive
from tfxmodal.losses.pair_batch import PairBatch


def batch(n=6, dim=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), rng.normal(size=(n, dim))


def oracle(images, texts, temperature=0.5, positive_in_denominator=False):
    """Equation (7), one point at a time."""

    def cos(a, b):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

    points = [("image", i, z) for i, z in enumerate(images)]
    points += [("text", i, z) for i, z in enumerate(texts)]
    total = 0.0
    for modality, i, anchor in points:
        above = below = 0.0
        for other_modality, j, point in points:
            value = np.exp(cos(anchor, point) / temperature)
            if i != j:
                below += value
            elif modality != other_modality:
                above = value
                below += value * positive_in_denominator
        total -= np.log(above / below)
    return total / len(points)


@pytest.mark.parametrize("positive_in_denominator", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 0.07])
def test_equals_the_equation(temperature, positive_in_denominator):
    images, texts = batch()
    loss = contrastive(PairBatch.gathered(images, texts), temperature, positive_in_denominator)
    expected = oracle(images, texts, temperature, positive_in_denominator)
    assert float(loss) == pytest.approx(expected, abs=1e-12)


def test_duplicate_pairs_count_as_negatives():
    images, texts = batch()
    images[3], texts[3] = images[0], texts[0]
    loss = contrastive(PairBatch.gathered(images, texts))
    assert float(loss) == pytest.approx(oracle(images, texts), abs=1e-12)


def test_gradient_equals_central_differences():
    images, texts = map(tf.constant, batch(4, 3))
    exact, numeric = tf.test.compute_gradient(
        lambda *pairs: contrastive(PairBatch.gathered(*pairs)), [images, texts]
    )
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


def test_replicas_average_to_the_whole():
    images, texts = map(tf.constant, batch())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([images, texts])
        whole = contrastive(PairBatch.gathered(images, texts))
        parts = [
            contrastive(PairBatch(images[s : s + 3], texts[s : s + 3], images, texts, offset=s))
            for s in (0, 3)
        ]
        mean = tf.reduce_mean(parts)
    np.testing.assert_allclose(mean, whole, atol=1e-12)
    for a, b in zip(
        tape.gradient(mean, [images, texts]), tape.gradient(whole, [images, texts]), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("positive_in_denominator", [False, True])
def test_one_pair_has_no_negatives(positive_in_denominator):
    images, texts = map(tf.constant, batch(1))
    with tf.GradientTape() as tape:
        tape.watch([images, texts])
        loss = contrastive(
            PairBatch.gathered(images, texts), positive_in_denominator=positive_in_denominator
        )
    assert float(loss) == pytest.approx(0, abs=1e-12)
    for gradient in tape.gradient(loss, [images, texts]):
        np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_zero_rows_and_small_temperature_stay_finite_in_float32():
    images, texts = (tf.constant(x, tf.float32) for x in batch())
    images *= tf.constant([[0.0], [1], [1], [1], [1], [1]])
    with tf.GradientTape() as tape:
        tape.watch([images, texts])
        loss = contrastive(PairBatch.gathered(images, texts), temperature=1e-3)
    assert np.isfinite(loss)
    for gradient in tape.gradient(loss, [images, texts]):
        assert np.isfinite(gradient).all()
