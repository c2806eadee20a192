import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.encoders.image import load_image_encoder
from tfxmodal.heads.in_parts import in_parts, treats_rows_alone


def gradients(model, rows, strategy, size=None):
    """Outputs and gradients of a function of all rows together, on every replica."""

    def step():
        with tf.GradientTape() as tape:
            outputs = in_parts(model, rows, size) if size else model(rows, training=True)
            loss = tf.reduce_sum(tf.matmul(outputs, outputs, transpose_b=True) ** 2)
        return outputs, tape.gradient(loss, model.trainable_variables)

    results = tf.function(lambda: strategy.run(step))()
    return tf.nest.map_structure(
        lambda each: strategy.experimental_local_results(each)[-1].numpy(), results
    )


@pytest.mark.parametrize("size", [1, 3, 4, 7, 20])
def test_outputs_and_gradients_are_those_of_the_whole_batch(size, two_replicas):
    with two_replicas.scope():
        tower = tiny_encoder().model
        raw = keras.Input([16, 16, 3], dtype="uint8")
        model = keras.Model(raw, tower(keras.ops.cast(raw, "float32")))
    rows = tf.constant(np.random.default_rng(0).integers(0, 255, (7, 16, 16, 3), np.uint8))
    expected = gradients(model, rows, two_replicas)
    found = gradients(model, rows, two_replicas, size)
    for ours, theirs in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_networks_whose_rows_hang_together_are_known():
    assert treats_rows_alone(tiny_encoder().model)
    assert not treats_rows_alone(load_image_encoder("efficientnet_lite0", "random").model)
    nested = keras.Sequential([tiny_encoder().model, keras.layers.Dense(2)])
    assert treats_rows_alone(nested)
    assert not treats_rows_alone(keras.Sequential([nested, keras.layers.Dropout(0.1)]))
