import keras
import numpy as np
import pytest

from tests.methods.gradient.test_drsl_end_to_end import WORDS, make_towers
from tfxmodal.encoders.text.text_cnn import FIRST_ID, TextCNN
from tfxmodal.heads import sequences
from tfxmodal.heads.sequences import feature_sequence, word_sequence, words_a_step

IDS = np.array([[2, 3, 1, 5, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]], np.int32)


def outputs(text, *names):
    return keras.Model(text.rows, [getattr(text, name) for name in names])


def test_steps_of_words_are_windows_over_their_vectors():
    network = make_towers()["text"]
    text = word_sequence(network, 7, 4)
    model = outputs(text, "steps", "mean", "mask")
    table = network.get_layer("vectors").get_weights()[0].astype(float)
    kernel, bias = next(each for each in model.layers if "conv1d" in each.name).get_weights()
    for ids, steps, mean, mask in zip(IDS, *map(np.asarray, model(IDS)), strict=True):
        known = ids >= FIRST_ID
        np.testing.assert_array_equal(mask, known)
        vectors = np.where(known[:, None], table[ids], 0)
        np.testing.assert_allclose(mean, vectors.sum(0) / max(known.sum(), 1), atol=1e-6)
        around = np.pad(vectors, [(1, 1), (0, 0)])
        for place in np.flatnonzero(known):
            window = np.tensordot(around[place : place + 3], kernel, 2) + bias
            np.testing.assert_allclose(steps[place], np.maximum(window, 0), atol=1e-5)
    narrow = model(IDS[:, :4])
    for ours, theirs in zip(model(IDS), narrow, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_words_of_long_texts_are_a_step_together(monkeypatch):
    network = make_towers()["text"]
    plain = outputs(word_sequence(network, 7, 4), "steps", "mean")
    monkeypatch.setattr(sequences, "STEPS", 3)
    text = word_sequence(network, 7, 4)
    model = outputs(text, "steps", "mean", "mask")
    model.set_weights(plain.get_weights())
    steps, mean = map(np.asarray, plain(IDS))
    found, same, mask = map(np.asarray, model(IDS))
    groups = np.pad(steps * (IDS >= FIRST_ID)[..., None], [(0, 0), (0, 2), (0, 0)])
    np.testing.assert_allclose(found, groups.reshape(3, 3, 3, 4).max(axis=2), atol=1e-6)
    np.testing.assert_allclose(same, mean, atol=1e-6)
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("longest", "expected"),
    [(3, (1, 5)), (7, (1, 7)), (49, (1, 49)), (50, (2, 25)), (400, (9, 45))],
)
def test_a_text_has_as_many_steps_as_a_map_has_locations(longest, expected):
    assert words_a_step(longest) == expected


def test_vectors_of_both_channels_are_added():
    encoder = TextCNN(WORDS, 6, "multichannel", 7)
    tables = np.random.default_rng(0).normal(size=(2, 6, 6))
    for name, table in zip(("vectors", "static_vectors"), tables, strict=True):
        encoder.network.get_layer(name).set_weights([table])
    text = word_sequence(encoder.network, 7, 4)
    (mean,) = np.asarray(keras.Model(text.rows, text.mean)(IDS[:1]))
    np.testing.assert_allclose(mean, tables.sum(0)[[2, 3, 5]].mean(0), atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3), (3,)])
def test_one_vector_is_a_sequence_of_one_step(shape):
    rows = keras.Input(shape)
    found = feature_sequence(rows, rows, "none")
    given = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    steps, mean = outputs(found, "steps", "mean")(given)
    np.testing.assert_array_equal(steps, given.reshape(2, -1, 3))
    np.testing.assert_allclose(mean, given.reshape(2, -1, 3).mean(axis=1), rtol=1e-6)
