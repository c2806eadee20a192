import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.mutual_information import info_nce, mutual_information


def scores(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_info_nce_equals_the_equation():
    t = scores(5, 3)
    expected = [-(t[0, j] - np.log(sum(np.exp(t[i, j]) for i in range(5)))) for j in range(3)]
    np.testing.assert_allclose(info_nce(t), expected, atol=1e-12)


def test_info_nce_is_the_cross_entropy_of_picking_the_positive():
    t = scores(5, 3)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(np.zeros(3, int), t.T)
    np.testing.assert_allclose(info_nce(t), expected, atol=1e-12)


def test_mutual_information_sums_four_terms():
    t = scores(5, 3, 2, 2)
    expected = sum(info_nce(t[:, :, x, z]) for x in (0, 1) for z in (0, 1))
    np.testing.assert_allclose(mutual_information(t), expected, atol=1e-12)


def test_gradient_equals_central_differences():
    (exact,), (numeric,) = tf.test.compute_gradient(
        mutual_information, [tf.constant(scores(4, 3, 2, 2))]
    )
    np.testing.assert_allclose(exact, numeric, atol=1e-6)


def test_large_scores_stay_finite():
    t = tf.constant([[1e4], [-1e4]])
    assert float(info_nce(t)[0]) == 0
    assert float(info_nce(t[::-1])[0]) == pytest.approx(2e4)


def test_the_positive_alone_has_no_loss():
    np.testing.assert_allclose(info_nce(scores(1, 3)), 0, atol=1e-12)
