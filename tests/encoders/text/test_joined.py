import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.encoders.text import load_text_encoder, names_of_parts, open_text_encoder
from tfxmodal.encoders.text.joined import JoinedText
from tfxmodal.encoders.text.known_words import known_texts
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError

CAPTIONS = [("a dog runs",), ("a cat", "a small cat"), ("the blue sea",), ("dogs and a cat",)]
TEXTS = ["a dog and a cat", "", "the sea", "unheard of"]


@pytest.fixture
def cnn(tmp_path):
    """The name of a trained TextCNN, in a folder with a plus in its name."""
    folder = tmp_path / "one+two"
    folder.mkdir()
    TextCNN.create([("the red zebra",)], 9).save(folder)
    return f"text_cnn:{folder}"


@pytest.fixture
def joined(cnn):
    return load_text_encoder(f"tf_idf+{cnn}", CAPTIONS, 8)


def test_features_stand_side_by_side_each_with_a_variance_of_one(joined, cnn):
    texts = ["\n".join(each) for each in CAPTIONS]
    parts = [load_text_encoder("tf_idf", CAPTIONS, 8), load_text_encoder(cnn, CAPTIONS)]
    columns = [part.encode(texts) for part in parts]
    scaled = [each / np.sqrt(each.var(axis=0).sum()) for each in columns]
    found = joined.encode(texts)
    np.testing.assert_allclose(found, np.concatenate(scaled, axis=1), rtol=1e-4, atol=1e-6)
    assert joined.dim == found.shape[1] == sum(part.dim for part in parts)
    np.testing.assert_allclose(found[:, :8].var(axis=0).sum(), 1, rtol=1e-4)
    np.testing.assert_allclose(found[:, 8:].var(axis=0).sum(), 1, rtol=1e-4)


def test_a_graph_gives_the_same(joined):
    graph = tf.function(lambda texts: joined.model(texts), [tf.TensorSpec([None], tf.string)])
    np.testing.assert_allclose(graph(TEXTS), joined.encode(TEXTS), rtol=1e-5, atol=1e-6)


def test_a_word_is_known_that_a_part_knows(joined):
    known = known_texts(joined, ["dog", "zebra", "unheard", ""])
    assert known.tolist() == [True, True, False, False]
    assert {"dog", "zebra"} <= set(joined.words)


def test_it_comes_back_with_its_parts(joined, tmp_path):
    joined.save(tmp_path)
    again = open_text_encoder(tmp_path)
    assert isinstance(again, JoinedText) and again.fingerprint == joined.fingerprint
    np.testing.assert_array_equal(again.encode(TEXTS), joined.encode(TEXTS))


def test_a_part_that_varies_not_at_all_is_left_as_it_is(cnn):
    joined = load_text_encoder(f"tf_idf+{cnn}", [("a dog",)], 8)
    assert joined.scales == [1, 1] and np.isfinite(joined.encode(TEXTS)).all()


def test_a_plus_belongs_to_a_name_where_no_encoder_follows():
    assert names_of_parts("tf_idf+minilm:/a+b+c+hub:x") == ["tf_idf", "minilm:/a+b+c", "hub:x"]
    assert names_of_parts("minilm:c++") == ["minilm:c++"]


@pytest.mark.parametrize("name", ["tf_idf+bert", "+tf_idf", "A+B", "bert+tf_idf"])
def test_unknown_parts_are_told(name):
    with pytest.raises(InputError, match=r"Unknown text encoder .*several of these with \+"):
        load_text_encoder(name, CAPTIONS)
