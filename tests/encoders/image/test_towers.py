from dataclasses import replace

import keras
import numpy as np
import pytest
from keras.src.applications import imagenet_utils

from tfxmodal.encoders.image import applications, extract, load_image_encoder
from tfxmodal.errors import InputError


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tower():
    return load_image_encoder("efficientnet_lite0", "random")


def test_vgg19_is_fc7_behind_the_preprocessing_of_keras(pictures):
    tower = load_image_encoder("vgg19", "random")
    network = tower.model.layers[-1]
    assert [layer.name for layer in network.layers[-3:]] == ["flatten", "fc1", "fc2"]
    assert (tower.resize, tower.crop, tower.dim) == (256, 224, 4096)

    features = extract(tower, pictures[:1])
    expected = network(keras.applications.vgg19.preprocess_input(pictures[:1].copy())).numpy()
    assert expected.min() == 0 < expected.max()  # After the ReLU.
    np.testing.assert_allclose(features, expected, atol=1e-4 * expected.max())


def test_any_keras_application_with_weights_from_a_file(pictures, tmp_path):
    reference = keras.applications.MobileNet(
        include_top=False, pooling="avg", weights=None, input_shape=(224, 224, 3)
    )
    reference.save_weights(tmp_path / "mobilenet.weights.h5")
    scaled = keras.applications.mobilenet.preprocess_input(pictures.copy())
    expected = reference(scaled, training=False).numpy()

    tower = load_image_encoder("MobileNet", str(tmp_path / "mobilenet.weights.h5"))
    assert (tower.name, tower.resize, tower.crop, tower.dim) == ("mobilenet", 224, 224, 1024)
    np.testing.assert_allclose(extract(tower, pictures), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "efficientnet_v2_b0", "efficientnetv2b0"])
def test_names_of_applications_in_any_case(name, monkeypatch):
    monkeypatch.setattr(applications, "load", lambda *arguments: arguments)
    assert load_image_encoder(name, "weights") == ("EfficientNetV2B0", "weights")


@pytest.mark.parametrize("name", applications.NETWORKS.values())
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


def test_fingerprint_tells_weights_and_preprocessing_apart(tower):
    same, other = (load_image_encoder("efficientnet_lite0", "random", seed) for seed in (0, 1))
    assert same.fingerprint == tower.fingerprint
    assert len({t.fingerprint for t in (tower, other, replace(tower, resize=256))}) == 3


def test_mixed_precision_leaves_the_tower_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        tower = load_image_encoder("efficientnet_lite0", "random")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in tower.model.layers} == {"float32"}


def test_extract_gives_each_picture_its_own_row(tower, pictures):
    many = np.concatenate([pictures, pictures[::-1], pictures[:1]]).astype(np.uint8)
    features = extract(tower, many, batch_size=2)
    assert features.shape == (5, 1280)
    np.testing.assert_allclose(features[[3, 2, 3]], features[[0, 1, 4]], rtol=1e-3, atol=1e-5)
    assert extract(tower, many[:0]).shape == (0, 1280)


def test_unknown_tower_lists_the_known():
    with pytest.raises(InputError, match="'vgg20'.*ResNet50.*efficientnet_lite0, hub:H.*, vgg19"):
        load_image_encoder("vgg20")


def test_failed_download_names_the_remedy(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://storage.googleapis.com: None -- unknown host")

    monkeypatch.setattr(keras.applications, "MobileNet", offline)
    with pytest.raises(InputError, match="'imagenet' of MobileNet.*unknown host.*--image-weights"):
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
