import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.heads.projector import L2Normalize, projector


@pytest.mark.parametrize(
    ("dtype", "output"),
    [("float32", "float32"), ("float64", "float64"), ("mixed_bfloat16", "float32")],
)
def test_unit_vectors_in_full_precision(dtype, output):
    z = projector(6, hidden=32, output=32, dtype=dtype)(tf.random.normal([5, 6], dtype=output))
    assert z.dtype == output
    assert np.min(z) >= 0
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-6)


def test_equals_its_layers():
    model = projector(6, hidden=8, output=4, dtype="float64")
    w1, b1, w2, b2 = model.get_weights()
    x = np.random.default_rng(0).normal(size=(3, 6))
    z = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)
    np.testing.assert_allclose(model(x), z / np.linalg.norm(z, axis=1, keepdims=True), atol=1e-12)


def test_dead_rows_have_a_finite_gradient():
    model = projector(6, hidden=8, output=4)
    model.layers[-3].bias.assign(tf.fill([4], -100.0))
    with tf.GradientTape() as tape:
        z = model(tf.ones([2, 6]))
        loss = tf.reduce_sum(z * tf.range(4.0))
    np.testing.assert_array_equal(z, 0)
    for gradient in tape.gradient(loss, model.trainable_variables):
        np.testing.assert_array_equal(gradient, 0)


def test_normalisation_at_zero_has_a_finite_gradient():
    x = tf.zeros([1, 4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(L2Normalize()(x))
    assert np.isfinite(tape.gradient(loss, x)).all()


def test_modalities_share_the_last_layer():
    last = keras.layers.Dense(4, activation="relu")
    image, text = projector(6, hidden=8, last_layer=last), projector(5, hidden=8, last_layer=last)
    assert image.trainable_variables[2] is text.trainable_variables[2]
    assert len({id(v) for m in (image, text) for v in m.trainable_variables}) == 6


def test_dropout_acts_in_training_only():
    model = projector(6, hidden=32, output=16, dropout=0.5)
    x = tf.ones([2, 6])
    np.testing.assert_array_equal(model(x), model(x))
    assert np.abs(model(x, training=True) - model(x)).max() > 0


def test_saves_and_loads(tmp_path):
    model = projector(6, hidden=8, output=4)
    model.save(tmp_path / "projector.keras")
    x = tf.ones([2, 6])
    loaded = keras.saving.load_model(tmp_path / "projector.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
