import json

import numpy as np
import pytest

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.encoders.image import IMAGE_ENCODERS, load_image_encoder, trained
from tfxmodal.errors import InputError


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)


@pytest.fixture
def folder(tmp_path):
    """A encoder whose weights are its own."""
    encoder = load_image_encoder("tiny", "random", seed=5)
    trained.save(encoder, tmp_path)
    return tmp_path


def test_it_comes_back_by_its_folder(folder):
    expected = load_image_encoder("tiny", "random", seed=5)
    encoder = load_image_encoder("tiny", str(folder))
    for ours, theirs in zip(encoder.model.weights, expected.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert encoder.fingerprint == expected.fingerprint
    assert encoder.fingerprint != load_image_encoder("tiny", "random").fingerprint
    assert trained.name_of(folder) == "tiny"


@pytest.mark.parametrize("name", ["random", "imagenet"])
def test_a_folder_of_the_name_of_weights_is_no_hindrance(name, tmp_path, monkeypatch):
    monkeypatch.setitem(IMAGE_ENCODERS, "named", lambda weights: weights)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert load_image_encoder("named", name) == name


def test_what_is_no_trained_encoder_is_told(folder, tmp_path):
    with pytest.raises(InputError, match="holds a trained tiny, and `image_encoder` is .*give"):
        load_image_encoder("efficientnet_lite0", str(folder))
    (other := tmp_path / "other").mkdir()
    trained.save(load_image_encoder("tiny", "random", seed=6), other)
    weights = folder / "tower.weights.h5"
    weights.write_bytes((other / "tower.weights.h5").read_bytes())
    with pytest.raises(InputError, match="is not what tower.json was written with.*train one"):
        load_image_encoder("tiny", str(folder))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="holds no trained image encoder"):
        load_image_encoder("tiny", str(folder))
    (folder / "tower.json").write_text(json.dumps({"name": "tiny"})[:5])
    with pytest.raises(InputError, match="holds no trained image encoder"):
        trained.name_of(folder)
