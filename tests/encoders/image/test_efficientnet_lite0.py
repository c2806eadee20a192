import re

import numpy as np
import pytest
from PIL import Image

from tfxmodal.encoders.image import extract, load_image_encoder


@pytest.fixture(scope="module")
def tower():
    return load_image_encoder("efficientnet_lite0")


def as_published(path):
    """Shorter side to 256, bicubic, centre crop of 224: how the shipped features were made."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)


@pytest.mark.parametrize("dataset", ["pascal_sentences", "flickr8k"])
def test_features_equal_those_of_the_original_network(tower, shared_data, dataset):
    folder = shared_data / dataset
    shipped = np.load(folder / "efficientnet_lite0_features.npz")
    names, expected = shipped["name"][:6], shipped["feat"][:6].astype(np.float32)
    features = extract(tower, np.stack([as_published(folder / "images" / n) for n in names]))
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((features * expected).sum(1) / norms > 0.985).all()


def test_weights_have_names_that_a_saved_model_takes(tower):
    for weight in tower.model.weights:
        assert re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", weight.path)
