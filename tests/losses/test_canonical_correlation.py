import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.canonical_correlation import canonical_correlation, canonical_directions

RNG = np.random.default_rng(0)
COMMON = RNG.normal(size=(20, 2))
IMAGES, TEXTS = (
    COMMON @ RNG.normal(size=(2, 3)) + 0.5 * RNG.normal(size=(20, 3)) + 4 for _ in range(2)
)


def covariances(images, texts, ridge):
    h1, h2 = images - images.mean(axis=0), texts - texts.mean(axis=0)
    degrees = len(h1) - 1
    s11, s22 = (h.T @ h / degrees + ridge * np.eye(h.shape[1]) for h in (h1, h2))
    return s11, h1.T @ h2 / degrees, s22


def oracle(images, texts, ridge):
    """-|| S11^-1/2 S12 S22^-1/2 ||_*, with the roots by their definition."""

    def inverse_root(s):
        values, vectors = np.linalg.eigh(s)
        return vectors @ np.diag(values**-0.5) @ vectors.T

    s11, s12, s22 = covariances(images, texts, ridge)
    t = inverse_root(s11) @ s12 @ inverse_root(s22)
    return -np.linalg.svd(t, compute_uv=False).sum()


@pytest.mark.parametrize("ridge", [0.0, 1e-4, 0.3])
def test_equals_the_equation(ridge):
    expected = oracle(IMAGES, TEXTS, ridge)
    assert -3 < expected < -0.5
    found = canonical_correlation(tf.constant(IMAGES), tf.constant(TEXTS), ridge)
    assert float(found) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_gradient_equals_central_differences(ridge):
    exact, numeric = tf.test.compute_gradient(
        lambda images, texts: 3 * canonical_correlation(images, texts, ridge),
        [tf.constant(IMAGES), tf.constant(TEXTS)],
    )
    for e, n in zip(exact, numeric, strict=True):
        assert np.abs(n).max() > 1e-3
        np.testing.assert_allclose(e, n, atol=1e-7)


def test_directions_whiten_both_sides_and_leave_the_correlations():
    s11, s12, s22 = covariances(IMAGES, TEXTS[:, :2], 0.1)
    a, rho, b = canonical_directions(s11, s12, s22)
    np.testing.assert_allclose(tf.transpose(a) @ s11 @ a, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(tf.transpose(b) @ s22 @ b, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(tf.transpose(a) @ s12 @ b, np.diag(rho), atol=1e-10)
    assert 1 > rho[0] > rho[1] > 0


def test_it_does_not_change_under_invertible_maps():
    maps = RNG.normal(size=(2, 3, 3))
    mapped = canonical_correlation(
        tf.constant(IMAGES @ maps[0] + 7), tf.constant(TEXTS @ maps[1]), 0
    )
    assert float(mapped) == pytest.approx(oracle(IMAGES, TEXTS, 0), abs=1e-10)


def test_equal_correlations_and_constant_columns_have_a_finite_gradient():
    """The automatic gradient of a decomposition is NaN there."""
    images = tf.constant(np.c_[IMAGES, np.ones(20)], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = canonical_correlation(images, images, 1e-4)
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(-3, abs=0.01)
    assert np.isfinite(tape.gradient(value, images)).all()


def test_noise_correlates_in_small_batches():
    """Why a batch should be ten times as large as the dimensions."""
    for n, expected in ((100, 31.7), (1000, 9.4)):
        noise = tf.random.stateless_normal([2, n, 50], seed=[1, 2])
        assert -float(canonical_correlation(*noise)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_told(bad):
    images = tf.constant(IMAGES + bad)
    assert np.isnan(canonical_correlation(images, tf.constant(TEXTS)))
