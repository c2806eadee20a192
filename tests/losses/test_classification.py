import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.classification import classification


@pytest.mark.parametrize("exclusive", [True, False])
def test_equals_the_equation_and_its_gradient(exclusive):
    logits = np.random.default_rng(0).normal(size=(4, 3))
    labels = np.eye(3)[[0, 2, 2, 1]] if exclusive else np.array([[1, 1, 0]] * 2 + [[0, 0, 1]] * 2)
    expected = 0.0
    for s, y in zip(logits, labels, strict=True):
        if exclusive:
            expected -= y @ np.log(np.exp(s) / np.exp(s).sum()) / 4
        else:
            p = 1 / (1 + np.exp(-s))
            expected -= (y @ np.log(p) + (1 - y) @ np.log(1 - p)) / 4
    assert float(classification(logits, labels, exclusive)) == pytest.approx(expected, abs=1e-12)
    exact, numeric = tf.test.compute_gradient(
        lambda s: classification(s, labels, exclusive), [tf.constant(logits)]
    )
    np.testing.assert_allclose(exact[0], numeric[0], atol=1e-6)
