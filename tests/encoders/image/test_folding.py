"""Batch normalisation folded into convolutions, compared with the network as it was."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.encoders.image import load_image_encoder
from tfxmodal.encoders.image.folding import folded
from tfxmodal.encoders.image.image_encoder import extract
from tfxmodal.training.trained_run import TrainedRun

PICTURES = np.random.default_rng(0).integers(0, 256, [2, 32, 32, 3]).astype(np.float32)


def used(model: keras.Model) -> keras.Model:
    """A model whose normalisation has seen data, of a network in training or not."""
    random = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [random.uniform(0.5, 1.5, each.shape) for each in layer.get_weights()]
            )
    return model


def norms(model: keras.Model) -> int:
    layers = model._flatten_layers()
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


def assert_same(model: keras.Model, other: keras.Model, images: np.ndarray = PICTURES):
    wanted, found = (each(images, training=False).numpy() for each in (model, other))
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def small(body) -> keras.Model:
    images = keras.Input([32, 32, 3])
    return used(keras.Model(images, body(keras.layers.Rescaling(1 / 255)(images))))


def norm(rows, **options):
    return keras.layers.BatchNormalization(**options)(rows)


FOLDED = {
    "convolution": lambda x: norm(keras.layers.Conv2D(4, 3)(x)),
    "strides, no bias": lambda x: norm(keras.layers.Conv2D(4, 3, strides=2, use_bias=False)(x)),
    "depthwise": lambda x: norm(keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
    "separable": lambda x: norm(keras.layers.SeparableConv2D(4, 3, depth_multiplier=2)(x)),
    "groups": lambda x: norm(keras.layers.Conv2D(6, 3, groups=3)(x)),
    "without scale": lambda x: norm(keras.layers.Conv2D(4, 3)(x), scale=False, axis=3),
    "without centre": lambda x: norm(keras.layers.Conv2D(4, 3)(x), center=False, epsilon=0.1),
}


@pytest.mark.parametrize("name", FOLDED)
def test_what_is_folded(name):
    model = small(FOLDED[name])
    faster = folded(model)
    assert norms(model) == 1 and norms(faster) == 0
    assert_same(model, faster)
    assert folded(faster) is faster


def _read_twice(x):
    rows = keras.layers.Conv2D(4, 3)(x)
    return keras.layers.Add()([norm(rows), rows])


def _called_twice(x):
    convolution = keras.layers.Conv2D(3, 3, padding="same")
    return norm(convolution(convolution(x)))


LEFT = {
    "before a convolution": lambda x: keras.layers.Conv2D(4, 3)(norm(x)),
    "behind an activation": lambda x: norm(keras.layers.Conv2D(4, 3, activation="relu")(x)),
    "behind a dense layer": lambda x: norm(keras.layers.Dense(4)(keras.layers.Flatten()(x))),
    "output read twice": _read_twice,
    "convolution called twice": _called_twice,
    "over rows": lambda x: norm(keras.layers.Conv2D(4, 3)(x), axis=1),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_as_it_is(name):
    model = small(LEFT[name])
    assert folded(model) is model


def test_an_output_is_still_there_beside_the_one_behind_it():
    images = keras.Input([32, 32, 3])
    rows = keras.layers.Conv2D(4, 3)(images)
    model = keras.Model(images, [rows, norm(rows)])
    assert folded(model) is model


def test_networks_of_keras_inside_others():
    """Each with its preprocessing, which is no layer, and a network inside."""
    network = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, include_top=False, pooling="avg", weights=None
    )
    images = keras.Input([32, 32, 3])
    scaled = keras.applications.mobilenet_v2.preprocess_input(images)
    model = used(keras.Model(images, keras.layers.Dense(5)(network(scaled))))
    faster = folded(model)
    assert norms(model) == 52 and norms(faster) == 0
    assert_same(model, faster)
    assert model.layers[-1] is faster.layers[-1]  # What is not folded is the model's own.


def test_a_training_network_stays_as_it_was():
    model = small(FOLDED["convolution"])
    before = [weight.copy() for weight in model.get_weights()]
    folded(model)
    assert len(model.trainable_variables) == 4
    for weight, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, wanted)


def test_a_run_that_trained_its_tower_is_exported_with_another():
    tower = small(FOLDED["convolution"])
    raw = SimpleNamespace(image=SimpleNamespace(raw=True))
    run = TrainedRun(None, None, {}, raw, SimpleNamespace(networks={"image_encoder": tower}))
    exported = run.folded().method.networks["image_encoder"]
    assert norms(exported) == 0 and run.method.networks["image_encoder"] is tower
    assert_same(tower, exported)


def test_folding_under_another_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small(
            lambda x: norm(keras.layers.Conv2D(4, 3, dtype="float32")(x), dtype="float32")
        )
        faster = folded(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert norms(faster) == 0
    assert_same(model, faster)


def test_features_of_an_encoder_as_it_is_and_as_it_is_exported():
    encoder = load_image_encoder("efficientnet_lite0", "random")
    used(encoder.model)
    assert norms(encoder.model) == 49 and norms(encoder.folded.model) == 0
    assert encoder.folded.fingerprint == encoder.fingerprint
    images = np.random.default_rng(0).integers(0, 256, [3, 224, 224, 3]).astype(np.float32)
    for kind in encoder.kinds:
        network = tf.function(encoder.model_of(kind))
        wanted = network(images, training=False).numpy()
        np.testing.assert_array_equal(extract(encoder, images, kind), wanted)
        found = extract(encoder.folded, images, kind)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
