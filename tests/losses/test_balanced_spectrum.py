import numpy as np
import pytest
import tensorflow as tf
from scipy.linalg import eigh

from tfxmodal.losses.balanced_spectrum import balanced_spectrum, similarity_graph, spectral_map

RANDOM = np.random.default_rng(0)
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], np.float32)


def similarities(n=12) -> np.ndarray:
    w = RANDOM.random((n, n)) * (RANDOM.random((n, n)) < 0.4)
    return np.maximum(w, w.T) + np.eye(n)


def eigenvalues(z, w, ridge=0.0) -> np.ndarray:
    """Those of (Z^T D Z + r I)^-1 Z^T W Z, of points less their weighted mean."""
    degrees = np.diag(w.sum(axis=1))
    z = z - (degrees @ z).sum(axis=0) / degrees.sum()
    within = z.T @ degrees @ z
    within += ridge * np.trace(within) / len(within) * np.eye(len(within))
    return eigh(z.T @ w @ z, within, eigvals_only=True)


@pytest.mark.parametrize("ridge", [1e-9, 0.1])
def test_equals_the_equation(ridge):
    z, w = RANDOM.normal(size=(12, 4)) + 5, similarities()
    values = eigenvalues(z, w, ridge)
    assert np.abs(values).max() <= 1 + 1e-9
    loss = balanced_spectrum(tf.constant(z), w, ridge)
    assert float(loss) == pytest.approx(np.sum((1 - values) ** 2), abs=1e-8)


def test_it_does_not_change_under_an_invertible_map_or_a_shift():
    z, w = RANDOM.normal(size=(12, 4)), similarities()
    mapped = z @ RANDOM.normal(size=(4, 4)) + 3
    losses = [float(balanced_spectrum(tf.constant(p), w, 1e-14)) for p in (z, mapped)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9) and losses[0] > 0.1


def test_points_at_the_places_of_their_classes_have_no_loss():
    classes = np.eye(3)[np.arange(12) % 3]
    w = classes @ classes.T
    z = tf.constant(classes @ RANDOM.normal(size=(3, 2)))
    np.testing.assert_allclose(eigenvalues(z.numpy(), w), 1)
    assert float(balanced_spectrum(z, w, 1e-12)) == pytest.approx(0, abs=1e-9)
    others = np.eye(3)[np.arange(12) // 4]
    assert float(balanced_spectrum(z, others @ others.T, 1e-12)) > 1


def test_gradient_equals_central_differences():
    w = similarities()
    exact, numeric = tf.test.compute_gradient(
        lambda z: balanced_spectrum(z, w, 1e-3), [tf.constant(RANDOM.normal(size=(12, 4)))]
    )
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)


def test_it_is_computed_in_float64():
    """Directions of very unequal lengths would be lost in float32."""
    z, w = RANDOM.normal(size=(12, 4)), similarities()
    unequal = (z * [1, 1e-2, 1e-4, 1e-4]).astype(np.float32)
    loss = balanced_spectrum(tf.constant(unequal), w, 1e-12)
    assert loss.dtype == tf.float32
    expected = np.sum((1 - eigenvalues(np.float64(unequal), w)) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_the_map_leads_to_the_eigenvectors_which_count_by_their_eigenvalues():
    z, w = RANDOM.normal(size=(12, 4)) + 5, similarities()
    mean, directions = map(np.asarray, spectral_map(z, w, 1e-12))
    codes, degrees = (z - mean) @ directions, w.sum(axis=1, keepdims=True)
    expected = np.maximum(eigenvalues(z, w), 0)
    assert expected[-1] > 0.1
    np.testing.assert_allclose(degrees.T @ codes, np.zeros([1, 4]), atol=1e-9)
    np.testing.assert_allclose(codes.T @ (degrees * codes), np.diag(expected**2), atol=1e-9)
    np.testing.assert_allclose(codes.T @ w @ codes, np.diag(expected**3), atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_points_that_are_all_alike_give_a_finite_loss_and_gradient(value):
    z = tf.fill([12, 4], value)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = balanced_spectrum(z, similarities(), 1e-3)
    assert float(loss) == pytest.approx(4)
    assert np.isfinite(tape.gradient(loss, z)).all()
    assert all(np.isfinite(each).all() for each in spectral_map(z, similarities(), 1e-3))


def oracle_graph(sides, labels, k) -> np.ndarray:
    """W, one pair of points at a time."""
    n = len(labels)
    w = np.zeros((2 * n, 2 * n))
    heats = []
    for rows in sides:
        squares = ((rows[:, None] - rows[None]) ** 2).sum(axis=-1)
        near = np.zeros((n, n), bool)
        for i in range(n):
            others = [j for j in np.argsort(squares[i], kind="stable") if j != i]
            near[i, others[:k]] = True
        near |= near.T
        heats.append(np.where(near, np.exp(-squares / squares[near].mean()), 0))
    for a in range(2 * n):
        for b in range(2 * n):
            i, j = a % n, b % n
            if i == j or labels[i] @ labels[j] > 0:
                w[a, b] = 1
            elif a // n == b // n and not (labels[i].any() and labels[j].any()):
                w[a, b] = heats[a // n][i, j]
    return w


@pytest.mark.parametrize(
    "labels", [LABELS, 0 * LABELS, np.eye(3)[[0, 0, 1, 1, 2, 2]]], ids=["some", "none", "all"]
)
def test_the_graph_is_as_it_is_told(labels):
    labels = labels.astype(np.float32)
    sides = [RANDOM.normal(size=(6, d)).astype(np.float32) + 10 for d in (5, 3)]
    found = similarity_graph(*sides, labels, 2)
    np.testing.assert_allclose(found, oracle_graph(sides, labels, 2), atol=1e-5)


def test_the_graph_of_points_that_are_all_alike():
    ones = np.ones((6, 4), np.float32)
    np.testing.assert_array_equal(similarity_graph(ones, ones, 0 * LABELS, 2)[:6, :6], 1)
