import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.instance import instance

LOGITS = np.random.default_rng(0).normal(size=(4, 5))


@pytest.mark.parametrize("numbers", [[0, 4, 2, 2], [5, 9, 12, 3]], ids=["a class each", "buckets"])
def test_equals_the_equation_and_its_gradient(numbers):
    losses = [
        -np.log(np.exp(s[number % 5]) / np.exp(s).sum())
        for s, number in zip(LOGITS, numbers, strict=True)
    ]
    numbers = tf.constant(numbers, tf.int64)
    assert float(instance(LOGITS, numbers)) == pytest.approx(np.mean(losses), abs=1e-12)
    exact, numeric = tf.test.compute_gradient(lambda s: instance(s, numbers), [tf.constant(LOGITS)])
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)


def test_where_nothing_is_known_it_is_the_logarithm_of_the_number_of_classes():
    assert float(instance(tf.zeros([3, 7]), tf.range(3))) == pytest.approx(np.log(7))
