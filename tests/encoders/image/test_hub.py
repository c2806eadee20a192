import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.encoders.image import extract, load_image_encoder
from tfxmodal.errors import InputError


def save(folder, shape, rank=2):
    """A SavedModel in the manner of TensorFlow Hub: mean colour times a weight."""
    model = tf.Module()
    model.weight = tf.Variable(tf.random.stateless_uniform([3, 4], [0, 1]))

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "inputs")])
    def features(inputs):
        means = tf.reduce_mean(inputs, [1, 2])
        return {"default": (means @ model.weight)[(...,) + (None,) * (rank - 2)]}

    tf.saved_model.save(model, folder, {"serving_default": features})
    return model.weight.numpy()


@pytest.mark.parametrize(("side", "size"), [(20, 20), (None, 224)])
def test_saved_model_as_an_encoder(tmp_path, side, size):
    weight = save(str(tmp_path), [None, side, side, 3])
    encoder = load_image_encoder(f"hub:{tmp_path}")
    pictures = np.random.default_rng(0).integers(0, 256, (3, size, size, 3))
    assert (encoder.preprocessing.resize, encoder.preprocessing.crop) == (size, size)
    assert encoder.dim == 4
    expected = pictures.mean((1, 2)) / 255 @ weight
    np.testing.assert_allclose(extract(encoder, pictures), expected, rtol=1e-4)


def test_fingerprint_follows_the_files(tmp_path):
    save(str(tmp_path), [None, 8, 8, 3])
    first = load_image_encoder(f"hub:{tmp_path}").fingerprint
    assert load_image_encoder(f"hub:{tmp_path}").fingerprint == first
    (tmp_path / "assets" / "note").write_text("changed")
    assert load_image_encoder(f"hub:{tmp_path}").fingerprint != first


def test_export_of_a_keras_model_is_an_encoder(tmp_path):
    keras.Sequential([keras.Input([8, 8, 3]), keras.layers.GlobalMaxPooling2D()]).export(
        tmp_path, verbose=False
    )
    pictures = np.full((1, 8, 8, 3), 51.0)
    features = extract(load_image_encoder(f"hub:{tmp_path}"), pictures)
    np.testing.assert_allclose(features, [[0.2] * 3], rtol=1e-6)


def test_other_signatures_are_refused(tmp_path):
    save(str(tmp_path / "map"), [None, 8, 8, 3], rank=4)
    (tmp_path / "empty").mkdir()
    for folder in ("map", "empty"):
        with pytest.raises(InputError, match=f"{folder} is no image encoder.*serving_default must"):
            load_image_encoder(f"hub:{tmp_path / folder}")


def test_handle_that_cannot_be_had(tmp_path):
    with pytest.raises(InputError, match="give the folder of a SavedModel"):
        load_image_encoder(f"hub:{tmp_path / 'nowhere'}")


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="'random'.*leave them out"):
        load_image_encoder(f"hub:{tmp_path}", "random")
