import keras
import numpy as np
import pytest

from tests.presets import SIDE
from tfxmodal.encoders.image import extract, load_image_encoder, trained
from tfxmodal.errors import InputError


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)


@pytest.mark.parametrize("fixture, dim", [("siglip", 16), ("clip", 8)])
def test_a_picture_has_the_vector_of_its_own_preprocessor_and_network(
    fixture, dim, request, pictures, keras_hub
):
    folder = str(request.getfixturevalue(fixture))
    backbone = keras_hub.models.Backbone.from_preset(folder)
    converter = keras_hub.layers.ImageConverter.from_preset(folder)
    expected = backbone.get_vision_embeddings(converter(pictures))
    encoder = load_image_encoder(f"keras_hub:{folder}")
    assert encoder.dim == dim and encoder.kinds == ("global",)
    assert (encoder.preprocessing.resize, encoder.preprocessing.crop) == (SIDE, SIDE)
    np.testing.assert_allclose(extract(encoder, pictures), expected, rtol=1e-4, atol=1e-5)
    assert load_image_encoder(f"keras_hub:{folder}").fingerprint == encoder.fingerprint


def test_the_first_token_of_dinov2_stands_for_a_picture(dinov2, pictures, keras_hub):
    backbone = keras_hub.models.Backbone.from_preset(str(dinov2))
    expected = backbone({"images": pictures / 255})[:, 0]
    found = extract(load_image_encoder(f"keras_hub:{dinov2}"), pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_locations_is_averaged(keras_hub, pictures, tmp_path):
    backbone = keras_hub.models.VGGBackbone([1], [4], image_shape=(SIDE, SIDE, 3))
    backbone.save_to_preset(str(tmp_path))
    converter = keras_hub.layers.VGGImageConverter((SIDE, SIDE), scale=1 / 255)
    converter.save_to_preset(str(tmp_path))
    expected = np.mean(backbone(pictures / 255), axis=(1, 2))
    found = extract(load_image_encoder(f"keras_hub:{tmp_path}"), pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_trained_weights_leave_the_shared_space(siglip, pictures, tmp_path):
    encoder = load_image_encoder(f"keras_hub:{siglip}")
    variable = encoder.model.trainable_variables[0]
    variable.assign(variable + keras.ops.ones_like(variable))
    trained.save(encoder, tmp_path)
    again = load_image_encoder(f"keras_hub:{siglip}", str(tmp_path))
    assert again.space is None and encoder.space is not None
    np.testing.assert_array_equal(extract(again, pictures), extract(encoder, pictures))


def test_random_weights_come_from_the_seed(siglip):
    random, same, own = (
        load_image_encoder(f"keras_hub:{siglip}", weights, seed=3)
        for weights in ("random", "random", "imagenet")
    )
    assert random.fingerprint == same.fingerprint != own.fingerprint and random.space is None


def test_what_cannot_be_an_image_encoder_is_refused(sentence_encoder, siglip, tmp_path):
    with pytest.raises(InputError, match="is a Bert, no network of pictures: give one, such as"):
        load_image_encoder(f"keras_hub:{sentence_encoder}")
    with pytest.raises(InputError, match="cannot be loaded .*give the folder of a preset, or a na"):
        load_image_encoder(f"keras_hub:{tmp_path}")
    with pytest.raises(InputError, match="its own weights; received `image_weights` 'other.h5'"):
        load_image_encoder(f"keras_hub:{siglip}", "other.h5")
    with pytest.raises(InputError, match="use one of: .*keras_hub:PRESET_OR_FOLDER"):
        load_image_encoder("siglip")


def test_what_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keras_hub", None)
    with pytest.raises(InputError, match=r"need a package more .*: pip install '.\[hub\]'"):
        load_image_encoder("keras_hub:siglip2_base_patch16_224")
