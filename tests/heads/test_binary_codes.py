"""Signs that gradients pass through, and the bits of random hyperplanes."""

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.heads.binary_codes import Sign, bit_layer


def test_the_gradient_of_a_sign_is_that_of_the_identity_from_minus_1_to_1():
    numbers = tf.constant([[-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.01]])
    with tf.GradientTape() as tape:
        tape.watch(numbers)
        signs = Sign()(numbers)
        loss = tf.reduce_sum(signs * tf.range(1.0, 8.0))
    np.testing.assert_array_equal(signs, [[-1, -1, -1, 1, 1, 1, 1]])
    np.testing.assert_array_equal(tape.gradient(loss, numbers), [[0, 2, 3, 4, 5, 6, 0]])


def test_bits_begin_as_random_hyperplanes_which_tell_the_angle():
    keras.utils.set_random_seed(0)
    angle = 1.0
    pair = tf.constant([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]])
    first, second = Sign()(bit_layer(20_000)(pair)).numpy()
    assert abs(np.mean(first != second) - angle / np.pi) < 0.02
