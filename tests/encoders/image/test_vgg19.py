import keras
import numpy as np
import pytest

from tfxmodal.encoders.image import WITH_MAPS, extract, load_image_encoder


@pytest.fixture(scope="module")
def encoder():
    return load_image_encoder("vgg19", "random")


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)


def test_global_features_are_fc7_behind_the_preprocessing_of_keras(encoder, pictures):
    network = encoder.model.layers[-1]
    assert [layer.name for layer in network.layers[-3:]] == ["flatten", "fc1", "fc2"]
    assert (encoder.preprocessing.resize, encoder.preprocessing.crop) == (256, 224)
    assert encoder.dim == 4096

    features = extract(encoder, pictures[:1])
    expected = network(keras.applications.vgg19.preprocess_input(pictures[:1].copy())).numpy()
    assert expected.min() == 0 < expected.max()  # After the ReLU.
    np.testing.assert_allclose(features, expected, atol=1e-4 * expected.max())


def test_the_map_is_what_the_fully_connected_layers_make_global_features_of(encoder, pictures):
    maps = extract(encoder, pictures, "map")
    assert maps.shape == (2, 49, 512) and encoder.kinds == ("global", "map")
    rows = maps.reshape(2, -1)
    for name in ("fc1", "fc2"):
        weights, bias = encoder.model.layers[-1].get_layer(name).get_weights()
        rows = np.maximum(rows @ weights + bias, 0)
    np.testing.assert_allclose(rows, extract(encoder, pictures), atol=1e-4 * rows.max())


def test_the_names_of_encoders_with_maps_are_right(encoder):
    assert encoder.name in WITH_MAPS
    with_maps = [load_image_encoder(name, "random") for name in WITH_MAPS if name != "vgg19"]
    assert all("map" in each.kinds for each in with_maps)
