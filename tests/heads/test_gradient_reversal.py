import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.heads.gradient_reversal import GradientReversal
from tfxmodal.training.replicas import Replicas

RNG = np.random.default_rng(0)
ROWS, KERNEL = RNG.normal(size=(6, 4)), RNG.normal(size=(4, 3))


def through(layer, rows):
    """The layer's output, a loss above it, and the loss' gradient by the rows below it."""
    kernel = tf.constant(KERNEL, rows.dtype)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        output = layer(rows)
        loss = tf.reduce_sum(tf.sin(output) @ kernel)
    return output, loss, tape.gradient(loss, rows)


def expected_gradient(strength, rows=ROWS):
    return -strength * np.cos(rows) * KERNEL.sum(axis=1)


@pytest.mark.parametrize("strength", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("compiled", [False, True])
def test_forward_is_the_identity_and_backward_minus_l_times_the_gradient(strength, compiled):
    layer = GradientReversal(strength, dtype="float64")
    run = tf.function(through) if compiled else through
    output, loss, gradient = run(layer, tf.constant(ROWS))
    np.testing.assert_array_equal(output, ROWS)
    assert float(loss) == pytest.approx(np.sum(np.sin(ROWS) @ KERNEL))
    np.testing.assert_allclose(gradient, expected_gradient(strength), rtol=1e-12)


def test_a_schedule_assigns_to_the_strength_of_a_compiled_step():
    layer, step = GradientReversal(dtype="float64"), tf.function(through)
    for strength in (0.0, 0.5, 2.0):
        layer.strength.assign(strength)
        *_, gradient = step(layer, tf.constant(ROWS))
        np.testing.assert_allclose(gradient, expected_gradient(strength), rtol=1e-12)
    assert not layer.trainable_variables


def test_mixed_bfloat16_keeps_the_dtype():
    layer = GradientReversal(0.3, dtype="mixed_bfloat16")
    rows = tf.constant(ROWS, tf.bfloat16)
    output, _, gradient = through(layer, rows)
    assert output.dtype == gradient.dtype == tf.bfloat16
    np.testing.assert_array_equal(output, rows)
    expected = expected_gradient(0.3, np.asarray(rows, np.float64))
    np.testing.assert_allclose(np.asarray(gradient, float), expected, rtol=0.02, atol=0.02)


def test_two_replicas_give_the_gradient_of_one(two_replicas):
    with two_replicas.scope():
        layer = GradientReversal(0.7, dtype="float64")
    layer.strength.assign(0.4)

    @tf.function
    def step():
        def replica():
            first = 3 * tf.distribute.get_replica_context().replica_id_in_sync_group
            *_, gradient = through(layer, tf.constant(ROWS)[first : first + 3])
            return Replicas().gather(gradient)

        return two_replicas.run(replica)

    for gradient in two_replicas.experimental_local_results(step()):
        np.testing.assert_allclose(gradient, expected_gradient(0.4), rtol=1e-12)


def test_saved_and_loaded_with_its_strength(tmp_path):
    inputs = keras.Input([4])
    model = keras.Model(inputs, GradientReversal(0.25, name="reversal")(inputs))
    model.get_layer("reversal").strength.assign(0.75)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").get_layer("reversal")
    assert loaded.get_config()["strength"] == 0.25
    assert loaded.strength == 0.75
