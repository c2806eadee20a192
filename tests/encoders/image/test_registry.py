import random
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras.src.applications import imagenet_utils

from tfxmodal.encoders.image import (
    applications,
    check_kind,
    efficientnet_lite0,
    extract,
    load_image_encoder,
)
from tfxmodal.errors import InputError


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    return load_image_encoder("efficientnet_lite0", "random")


def test_any_keras_application_with_weights_from_a_file(pictures, tmp_path):
    reference = keras.applications.MobileNet(
        include_top=False, pooling="avg", weights=None, input_shape=(224, 224, 3)
    )
    reference.save_weights(tmp_path / "mobilenet.weights.h5")
    scaled = keras.applications.mobilenet.preprocess_input(pictures.copy())
    expected = reference(scaled, training=False).numpy()

    encoder = load_image_encoder("MobileNet", str(tmp_path / "mobilenet.weights.h5"))
    assert (encoder.name, encoder.dim) == ("mobilenet", 1024)
    assert (encoder.preprocessing.resize, encoder.preprocessing.crop) == (224, 224)
    np.testing.assert_allclose(extract(encoder, pictures), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "efficientnet_v2_b0", "efficientnetv2b0"])
def test_names_of_applications_in_any_case(name, monkeypatch):
    monkeypatch.setattr(applications, "load", lambda *arguments: arguments)
    assert load_image_encoder(name, "weights") == ("EfficientNetV2B0", "weights")


@pytest.mark.parametrize("name", applications.networks().values())
def test_every_application_has_its_preprocessing(name):
    assert callable(applications._module(name).preprocess_input)


@pytest.mark.parametrize("name", applications.networks().values())
def test_applications_have_their_own_input_size(name, monkeypatch):
    if name.startswith("MobileNetV3"):
        pytest.skip("tells its size (224) in its documentation alone")

    class Told(Exception):
        """Carries the default size out of the constructor, before anything is built."""

    def tell(*_, default_size, **__):
        raise Told(default_size)

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", tell)
    with pytest.raises(Told) as told:
        getattr(keras.applications, name)(weights=None)
    assert told.value.args == (applications.SIZES.get(name, 224),)


def test_fingerprint_tells_weights_and_preprocessing_apart(encoder):
    same, other = (load_image_encoder("efficientnet_lite0", "random", seed) for seed in (0, 1))
    assert same.fingerprint == encoder.fingerprint
    resized = replace(encoder, preprocessing=replace(encoder.preprocessing, resize=256))
    assert len({t.fingerprint for t in (encoder, other, resized)}) == 3


def test_random_weights_are_those_of_the_seed_and_no_draw_of_the_process(encoder):
    def draws():
        return random.random(), np.random.rand(), float(keras.random.uniform([]))

    keras.utils.set_random_seed(7)
    expected = draws()
    keras.utils.set_random_seed(7)
    again = load_image_encoder("efficientnet_lite0", "random", seed=0)
    assert draws() == expected
    keras.utils.set_random_seed(0)
    for ours, theirs in zip(again.model.weights, efficientnet_lite0.build().weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_only_those_of_whom_it_is_said_give_maps(encoder):
    assert encoder.kinds == ("global", "map")
    check_kind("vgg19", "map")
    check_kind("ResNet50", "global")
    with pytest.raises(InputError, match="ResNet50 gives no `map` features; use one of: eff.*vgg"):
        check_kind("ResNet50", "map")
    with pytest.raises(InputError, match="Unknown kind of image features 'words'; use one of: gl"):
        encoder.model_of("words")


def test_mixed_precision_leaves_the_encoder_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder = load_image_encoder("efficientnet_lite0", "random")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in encoder.model.layers} == {"float32"}


def test_extract_gives_each_picture_its_own_row(encoder, pictures):
    many = np.concatenate([pictures, pictures[::-1], pictures[:1]]).astype(np.uint8)
    features = extract(encoder, many, batch_size=2)
    assert features.shape == (5, 1280)
    np.testing.assert_allclose(features[[3, 2, 3]], features[[0, 1, 4]], rtol=1e-3, atol=1e-5)
    assert extract(encoder, many[:0]).shape == (0, 1280)


def test_an_unknown_encoder_lists_the_known():
    with pytest.raises(InputError, match="'vgg20'.*ResNet50.*efficientnet_lite0, hub:H.*, vgg19"):
        load_image_encoder("vgg20")


def test_failed_download_names_the_remedy(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://storage.googleapis.com: None -- unknown host")

    offline.__module__ = keras.applications.MobileNet.__module__
    monkeypatch.setattr(keras.applications, "MobileNet", offline)
    with pytest.raises(InputError, match="'imagenet' of MobileNet.*unknown host.*`image_weights`"):
        load_image_encoder("MobileNet")


def test_a_failure_without_words_is_told_by_its_kind(monkeypatch):
    def silent(**_):
        raise Exception

    silent.__module__ = keras.applications.MobileNet.__module__
    monkeypatch.setattr(keras.applications, "MobileNet", silent)
    with pytest.raises(InputError, match=r"'imagenet' of MobileNet cannot be had \(Exception\)"):
        load_image_encoder("MobileNet")


@pytest.mark.parametrize("contents", [None, b"", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_weights_file_missing_or_damaged(tmp_path, contents):
    path = tmp_path / "net.weights.h5"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(InputError, match="net.weights.h5' of MobileNet cannot be had"):
        load_image_encoder("MobileNet", str(path))


def test_weights_of_another_network(tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input([3]), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(InputError, match="other.weights.h5' of MobileNet cannot be had"):
        load_image_encoder("MobileNet", str(path))
