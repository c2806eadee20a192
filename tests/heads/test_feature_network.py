import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.layers import dense

X = np.random.default_rng(0).normal(size=(5, 6))


def test_equals_its_layers():
    model = feature_network(6, (8, 4), dtype="float64")
    w1, b1, w2, b2 = model.get_weights()
    expected = np.maximum(np.maximum(X @ w1 + b1, 0) @ w2 + b2, 0)
    assert expected.any()
    np.testing.assert_allclose(model(X), expected, atol=1e-12)


def test_batch_normalisation_comes_before_each_relu():
    model = feature_network(6, (8, 4), batch_norm=True, dtype="float64")
    rows = X
    for kernel, bias in (model.get_weights()[:2], model.get_weights()[6:8]):
        rows = rows @ kernel + bias
        rows = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-5)
        rows = np.maximum(rows, 0)
    np.testing.assert_allclose(model(X, training=True), rows, atol=1e-9)


def test_one_layer_alone():
    model = feature_network(6, (4,), dtype="float64")
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model(X), np.maximum(X @ kernel + bias, 0), atol=1e-12)


def test_output_is_full_precision_under_mixed_bfloat16():
    z = feature_network(6, (8, 4), batch_norm=True, dtype="mixed_bfloat16")(tf.ones([2, 6]))
    assert z.dtype == tf.float32


def test_dropout_is_of_training_alone():
    model = feature_network(6, (64, 4), dropout=0.5)
    inputs = tf.constant(X, tf.float32)
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert not np.allclose(model(inputs, training=True), model(inputs, training=True))


@pytest.mark.parametrize("inputs", [25, 400])
def test_weights_start_within_one_over_the_root_of_the_inputs(inputs):
    layer = dense(64)
    layer.build((None, inputs))
    kernel = layer.kernel.numpy() * inputs**0.5
    assert 0.97 < np.abs(kernel).max() <= 1
    assert kernel.var() == pytest.approx(1 / 3, rel=0.05)
