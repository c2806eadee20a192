import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.weight_norms import weight_norms

MATRICES = [np.random.default_rng(0).normal(size=shape) for shape in ((3, 4), (4, 2))]


def test_equals_the_equation_and_its_gradient():
    expected = sum(np.sqrt(np.sum(w**2)) for w in MATRICES)
    assert float(weight_norms(MATRICES)) == pytest.approx(expected)
    weights = [tf.Variable(w) for w in MATRICES]
    with tf.GradientTape() as tape:
        loss = weight_norms(weights)
    for gradient, w in zip(tape.gradient(loss, weights), MATRICES, strict=True):
        np.testing.assert_allclose(gradient, w / np.linalg.norm(w))


def test_the_gradient_of_a_matrix_of_zeros_is_finite():
    zeros = tf.Variable(tf.zeros([2, 2]))
    with tf.GradientTape() as tape:
        loss = weight_norms([zeros])
    np.testing.assert_array_equal(tape.gradient(loss, zeros), 0)
