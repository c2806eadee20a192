import inspect

import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.encoders.text import (
    TEXT_ENCODERS,
    TextEncoder,
    load_text_encoder,
    open_text_encoder,
)
from tfxmodal.encoders.text.bag_of_words import BagOfWords, document
from tfxmodal.encoders.text.known_words import known_texts
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError


class Lengths(tf.Module):
    """Stands for a sentence encoder: a text's length times a weight, of unknown static width."""

    def __init__(self, factor):
        super().__init__()
        self.weight = tf.Variable([factor, 2 * factor])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences):
        lengths = tf.cast(tf.strings.length(sentences, "UTF8_CHAR"), tf.float32)
        return {"default": tf.reshape(lengths[:, None] * self.weight, [-1, tf.size(self.weight)])}


def save(folder, factor=1.0) -> str:
    module = Lengths(factor)
    tf.saved_model.save(module, str(folder), signatures=module.__call__)
    return f"hub:{folder}"


def test_a_saved_model_encodes_texts(tmp_path):
    encoder = load_text_encoder(save(tmp_path), captions=[])
    texts = ["ß", "", "four"] * 50
    expected = np.array([[1, 2], [0, 0], [4, 8]] * 50, np.float32)
    np.testing.assert_array_equal(encoder.encode(texts), expected)
    assert encoder.dim == 2 and encoder.model.output_shape == (None, 2)
    np.testing.assert_array_equal(encoder.encode([document(("a", "b"))]), [[3, 6]])
    assert encoder.encode([]).shape == (0, 2)


def test_a_saved_model_comes_back_and_is_known_again(tmp_path):
    encoder = load_text_encoder(save(tmp_path / "model"), captions=[])
    encoder.save(tmp_path)
    again = open_text_encoder(tmp_path)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(["abc"]), encoder.encode(["abc"]))
    save(tmp_path / "model", factor=3.0)
    with pytest.raises(InputError, match="is not the one that .* was made with"):
        open_text_encoder(tmp_path)


def test_a_saved_model_of_something_else_is_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: x + 1, [tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(InputError, match="is no text encoder"):
        load_text_encoder(f"hub:{tmp_path}", captions=[])


def test_a_bag_of_words_by_name(tmp_path):
    captions = [("a dog",), ("a cat",)]
    encoder = load_text_encoder("tf_idf", captions, vocabulary_size=2)
    assert isinstance(encoder, BagOfWords) and encoder.words == ("a", "cat")
    encoder.save(tmp_path)
    assert open_text_encoder(tmp_path).fingerprint == encoder.fingerprint


def test_a_trained_text_cnn_by_its_folder(tmp_path):
    trained = TextCNN.create([("a dog",), ("a cat",)], 3)
    trained.save(tmp_path)
    for encoder in (load_text_encoder(f"text_cnn:{tmp_path}", []), open_text_encoder(tmp_path)):
        assert encoder.fingerprint == trained.fingerprint
        np.testing.assert_array_equal(encoder.encode(["a cat"]), trained.encode(["a cat"]))
    with pytest.raises(InputError, match="holds no trained TextCNN"):
        load_text_encoder("text_cnn:nowhere", [])


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(InputError, match="'bert'; use one of: hub:HANDLE, .*several .* \\+"):
        load_text_encoder("bert", [])
    with pytest.raises(InputError, match="no vocabulary"):
        open_text_encoder(tmp_path)


@pytest.mark.parametrize("encoder", TEXT_ENCODERS.values(), ids=TEXT_ENCODERS)
def test_every_encoder_is_what_the_protocol_says(encoder):
    wanted = {name for name in dir(TextEncoder) if not name.startswith("_")}
    of_each = {"words", "dim", "fingerprint", "model", "resources", "space", "served", "limits"}
    wanted |= TextEncoder.__annotations__.keys() - of_each
    wanted -= of_each
    assert wanted <= set(dir(encoder))
    assert inspect.getdoc(encoder) and inspect.getmodule(encoder).__doc__
    for name in wanted & {"look_up", "encode", "save", "load", "from_name"}:
        ours, theirs = (inspect.signature(getattr(each, name)) for each in (encoder, TextEncoder))
        assert list(ours.parameters) == list(theirs.parameters), name


def test_which_encoders_need_tensorflow_text():
    needs = {name: each.uses_tensorflow_text for name, each in TEXT_ENCODERS.items()}
    assert {name for name, needed in needs.items() if not needed} == {"text_cnn:FOLDER", "tf_idf"}


def test_which_texts_an_encoder_knows(tmp_path):
    captions = [("a dog",), ("a cat",)]
    texts = ["A DOG, maybe", "unheard of", "", " .,", "\U0001f9ff", "do\u0301g dog\udcff"]
    words = [True, False, False, False, False, True]
    known = {
        "bag": (load_text_encoder("tf_idf", captions, vocabulary_size=3), words),
        "cnn": (TextCNN.create(captions, 3), words),
        "hub": (load_text_encoder(save(tmp_path), []), [True, True, False, False, True, True]),
    }
    for name, (encoder, expected) in known.items():
        assert known_texts(encoder, texts).tolist() == expected, name
        assert known_texts(encoder, []).shape == (0,)
