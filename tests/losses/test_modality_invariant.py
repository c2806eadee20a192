import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.errors import InputError
from tfxmodal.losses.modality_invariant import modality_invariant


def batch(n=6, dim=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, dim)), rng.normal(size=(n, dim))


def test_rows_is_the_mean_distance_of_pairs():
    images, texts = batch()
    expected = sum(np.linalg.norm(v - t) for v, t in zip(images, texts, strict=True)) / len(images)
    assert float(modality_invariant(images, texts)) == pytest.approx(expected, abs=1e-10)


def test_frobenius_is_the_norm_of_the_matrix():
    images, texts = batch()
    expected = np.linalg.norm(images - texts) / len(images)
    assert float(modality_invariant(images, texts, "frobenius")) == pytest.approx(expected)


@pytest.mark.parametrize("norm", ["rows", "frobenius"])
def test_gradient_equals_central_differences(norm):
    exact, numeric = tf.test.compute_gradient(
        lambda v, t: modality_invariant(v, t, norm), [tf.constant(x) for x in batch()]
    )
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


@pytest.mark.parametrize("norm", ["rows", "frobenius"])
def test_coinciding_pairs_have_a_finite_gradient(norm):
    images = tf.zeros([3, 4])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = modality_invariant(images, tf.zeros([3, 4]), norm)
    assert float(loss) == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(tape.gradient(loss, images), 0)


def test_replicas_average_to_the_whole():
    images, texts = batch()
    parts = [modality_invariant(images[s : s + 3], texts[s : s + 3]) for s in (0, 3)]
    assert np.mean(parts) == pytest.approx(float(modality_invariant(images, texts)), abs=1e-12)


def test_unknown_norm():
    with pytest.raises(InputError, match="Unknown norm 'l1'; use one of: frobenius, rows"):
        modality_invariant(*batch(), norm="l1")
