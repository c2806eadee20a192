import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.centre import centre

POINTS, CENTRES = np.random.default_rng(0).normal(size=(2, 5, 3))


def test_equals_the_sum_over_points():
    expected = sum(np.sum((z - c) ** 2) for z, c in zip(POINTS, CENTRES, strict=True)) / 5
    assert float(centre(tf.constant(POINTS), tf.constant(CENTRES))) == pytest.approx(expected)


def test_it_draws_a_point_to_its_centre():
    points = tf.constant(POINTS)
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = centre(points, tf.constant(CENTRES))
    np.testing.assert_allclose(tape.gradient(loss, points), 2 / 5 * (POINTS - CENTRES))
    assert float(centre(points, points)) == 0
