import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.encoders.image import Extractor, engines, extract, load_image_encoder
from tfxmodal.encoders.image.image_encoder import ImageEncoder
from tfxmodal.errors import InputError

PICTURES = np.random.default_rng(0).integers(0, 256, [5, 16, 16, 3]).astype(np.float32)


@pytest.fixture
def encoder():
    return tiny_encoder()


@pytest.fixture
def openvino(monkeypatch):
    """`openvino(factor)`: a stand-in for OpenVINO, whose features are TensorFlow's times that."""
    asked = []

    def install(factor: float):
        def by_openvino(encoder, kind):
            return lambda images: asked.append(len(images)) or factor * extract(encoder, images)

        monkeypatch.setattr(engines, "find_spec", lambda name: name)
        monkeypatch.setattr(ImageEncoder, "by_openvino", by_openvino)
        return asked

    return install


def test_openvino_takes_over_behind_the_first_pictures(encoder, openvino):
    asked, said = openvino(1 + 1e-5), []
    run = Extractor(encoder, say=said.append)
    np.testing.assert_array_equal(run(PICTURES), extract(encoder, PICTURES))
    np.testing.assert_allclose(run(PICTURES[:3]), extract(encoder, PICTURES[:3]), rtol=2e-5)
    assert asked == [5, 3] and not said


def test_tensorflow_is_never_left_where_it_was_asked_for(encoder, openvino):
    asked = openvino(1)
    run = Extractor(encoder, engine="tensorflow")
    for _ in range(2):
        np.testing.assert_array_equal(run(PICTURES), extract(encoder, PICTURES))
    assert not asked


@pytest.mark.parametrize("factor", [1 + 1e-3, np.nan])
def test_other_features_are_told_and_not_taken(encoder, openvino, factor):
    asked, said = openvino(factor), []
    run = Extractor(encoder, say=said.append)
    for _ in range(3):
        np.testing.assert_array_equal(run(PICTURES), extract(encoder, PICTURES))
    assert asked == [5]
    told = "1.0e-03" if factor > 1 else "nan"
    assert said == [
        "TensorFlow runs the image encoder tiny: OpenVINO does not (its features are "
        f"{told} off TensorFlow's)."
    ]
    with pytest.raises(InputError, match=f"tiny .*{told} off TensorFlow's.*: take tensorflow"):
        Extractor(encoder, engine="openvino")(PICTURES)


def test_a_network_that_cannot_be_compiled_is_told(encoder, monkeypatch, openvino):
    openvino(1)

    def fail(*_):
        raise RuntimeError("No conversion rule\nof this operation")

    monkeypatch.setattr(ImageEncoder, "by_openvino", fail)
    said = []
    np.testing.assert_array_equal(
        Extractor(encoder, say=said.append)(PICTURES), extract(encoder, PICTURES)
    )
    assert "OpenVINO does not (No conversion rule)" in said[0]
    with pytest.raises(InputError, match="tiny .No conversion rule"):
        Extractor(encoder, engine="openvino")(PICTURES)


def test_a_gpu_is_not_left_unused(encoder, monkeypatch, openvino):
    asked = openvino(1)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    Extractor(encoder)(PICTURES)
    assert not asked
    Extractor(encoder, engine="openvino")(PICTURES)
    assert asked == [5]


def test_engines_that_there_are_not(encoder, monkeypatch):
    with pytest.raises(InputError, match="Unknown engine 'onnx'; use one of: auto, openvino"):
        Extractor(encoder, engine="onnx")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="openvino, which is not installed: pip install openvino"):
        Extractor(encoder, engine="openvino")
    np.testing.assert_array_equal(Extractor(encoder)(PICTURES), extract(encoder, PICTURES))


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="openvino is not installed")
@pytest.mark.parametrize("kind", ["global", "map"])
def test_openvino_gives_the_features_of_tensorflow(kind):
    encoder = load_image_encoder("efficientnet_lite0")
    run = Extractor(encoder, kind, "openvino")
    images = np.random.default_rng(0).integers(0, 256, [7, 224, 224, 3]).astype(np.float32)
    wanted = encoder.model_of(kind)(images, training=False).numpy()
    run(images[:2])
    for found in (run(images), run(images)):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
