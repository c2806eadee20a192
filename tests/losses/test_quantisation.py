"""The distance of numbers to their signs."""

import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.quantisation import quantisation


def test_it_is_the_mean_squared_distance_to_the_signs_and_draws_to_the_nearer():
    rng = np.random.default_rng(0)
    images, texts = (tf.constant(rng.normal(size=(4, 16))) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = quantisation(images, texts)
    expected = [
        np.mean([(h - (1 if h >= 0 else -1)) ** 2 for h in each.numpy().ravel()])
        for each in (images, texts)
    ]
    assert loss.numpy() == pytest.approx(np.mean(expected))
    gradient = tape.gradient(loss, images)
    np.testing.assert_allclose(gradient, (images - tf.sign(images)) / (4 * 16))
    assert quantisation(tf.sign(images), tf.sign(texts)) == 0
