import re

import keras
import numpy as np
import pytest
from PIL import Image

from tfxmodal.encoders.image import extract, load_image_encoder


@pytest.fixture(scope="module")
def encoder():
    return load_image_encoder("efficientnet_lite0")


def as_published(path):
    """Shorter side to 256, bicubic, centre crop of 224: how the shipped features were made."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)


@pytest.mark.parametrize("dataset", ["pascal_sentences", "flickr8k"])
def test_features_equal_those_of_the_original_network(encoder, shared_data, dataset):
    folder = shared_data / dataset
    shipped = np.load(folder / "efficientnet_lite0_features.npz")
    names, expected = shipped["name"][:6], shipped["feat"][:6].astype(np.float32)
    features = extract(encoder, np.stack([as_published(folder / "images" / n) for n in names]))
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((features * expected).sum(1) / norms > 0.985).all()


def test_the_mean_of_the_map_over_its_locations_is_the_global_features(encoder):
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 224, 224, 3)).astype(np.float32)
    maps = extract(encoder, pictures, "map")
    assert maps.shape == (3, 49, 1280)
    np.testing.assert_allclose(maps.mean(axis=1), extract(encoder, pictures), atol=1e-5)


def test_the_locations_of_a_map_go_row_by_row(encoder):
    last = encoder.model.get_layer("features").input
    picture = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    (grid,) = keras.Model(encoder.model.input, last)(picture).numpy()
    (locations,) = extract(encoder, picture, "map")
    for row in range(7):
        for column in range(7):
            expected = grid[row, column]
            np.testing.assert_allclose(locations[7 * row + column], expected, atol=1e-4)


def test_its_own_weights_have_a_licence_and_others_none_that_is_known(encoder):
    assert encoder.license.startswith("Apache-2.0")
    assert load_image_encoder("efficientnet_lite0", "random").license is None


def test_weights_have_names_that_a_saved_model_takes(encoder):
    for weight in encoder.model.weights:
        assert re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", weight.path)
