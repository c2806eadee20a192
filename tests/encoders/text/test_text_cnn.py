import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.encoders.text.known_words import known_texts, unknown_words
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.encoders.text.tokens import CHARACTERS
from tfxmodal.errors import InputError

CAPTIONS = [
    ("a dog runs over the old bridge", "two dogs and one ball in the park"),
    ("the Straße is long",),
    ("a cat",),
]
LEXICON = {"dog": 0, "cat": 1, "the": 2, "park": 3, "straße": 4}
TEXTS = ["", "dog", "a dog runs over the bridge", "unknown words the dog never saw", "cat " * 9]


@pytest.fixture
def vectors_file(tmp_path) -> str:
    """Word vectors 6 wide, of some words of the captions."""
    rows = np.random.default_rng(0).normal(size=[len(LEXICON), 6])
    lines = (f"{word} {' '.join(map(str, rows[i]))}\n" for word, i in LEXICON.items())
    (tmp_path / "vectors.txt").write_text("".join(lines))
    return str(tmp_path / "vectors.txt")


@pytest.fixture
def create(vectors_file):
    """An encoder whose biases are not zero, so that a window of zeros is not without effect."""

    def build(mode: str) -> TextCNN:
        vectors = "random" if mode == "random" else vectors_file
        encoder = TextCNN.create(CAPTIONS, 100, vectors, mode)
        for layer in encoder.network.layers:
            if isinstance(layer, keras.layers.Conv1D):
                layer.bias.assign(keras.random.uniform(layer.bias.shape, -0.1, 0.3))
        return encoder

    return build


def oracle(encoder: TextCNN, text: str) -> np.ndarray:
    """Kim's network in float64, a window at a time: zeros for what is no word of it."""
    names = {"static_vectors", "vectors"} & {layer.name for layer in encoder.network.layers}
    tables = [np.float64(encoder.network.get_layer(name).get_weights()[0]) for name in names]
    words = text.lower().split()[: encoder.max_words]
    channels = np.zeros([len(tables), max(len(words), 5), tables[0].shape[1]])
    for place, word in enumerate(words):
        if word in encoder.words:
            channels[:, place] = [table[2 + encoder.words.index(word)] for table in tables]
    features = []
    for width in (3, 4, 5):
        weights, bias = encoder.network.get_layer(f"windows_{width}").get_weights()
        windows = [
            sum(np.einsum("wd,wdf->f", channel[i : i + width], weights) for channel in channels)
            for i in range(channels.shape[1] - width + 1)
        ]
        features.append(np.maximum(np.array(windows) + bias, 0).max(axis=0))
    return np.concatenate(features)


@pytest.mark.parametrize("mode", ["random", "static", "non_static", "multichannel"])
def test_features_are_those_of_the_plain_network(create, mode):
    encoder = create(mode)
    if mode == "multichannel":  # as after some training
        table = encoder.network.get_layer("vectors").embeddings
        table.assign_add(keras.random.normal(table.shape))
    features = encoder.encode(TEXTS)
    assert features.shape == (len(TEXTS), encoder.dim) == (len(TEXTS), 300)
    assert features.dtype == np.float32 and encoder.model.output_shape == (None, 300)
    np.testing.assert_allclose(features, [oracle(encoder, text) for text in TEXTS], atol=1e-5)


KNOWN = sorted({word for captions in CAPTIONS for c in captions for word in c.lower().split()})


@settings(max_examples=15)
@given(
    texts=st.lists(
        st.lists(st.sampled_from([*KNOWN, "unknown"])).map(" ".join), min_size=1, max_size=4
    )
)
def test_a_text_has_the_same_features_alone_and_in_a_batch(shared_encoder, texts):
    encoder = shared_encoder
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-6)
    padded = encoder.network(encoder.token_ids(texts))
    np.testing.assert_allclose(padded, alone, atol=1e-6)


@pytest.fixture(scope="module")
def shared_encoder() -> TextCNN:
    encoder = TextCNN.create(CAPTIONS, 100)
    for width in (3, 4, 5):
        encoder.network.get_layer(f"windows_{width}").bias.assign(tf.linspace(-0.2, 0.5, 100))
    return encoder


def test_padding_does_not_reach_the_maximum(shared_encoder):
    """Where biases are large, a window of zeros has the maximum."""
    ids = np.array([[2, 3, 4, 5, 6, 7, 8]])
    short = shared_encoder.network(ids)
    padded = shared_encoder.network(np.pad(ids, [[0, 0], [0, 30]]))
    np.testing.assert_allclose(padded, short, atol=1e-6)
    with_a_sixth_word = shared_encoder.network(np.pad(ids, [[0, 0], [0, 30]], constant_values=1))
    assert np.abs(with_a_sixth_word - short).max() > 0.01


def test_ids_and_the_cut(shared_encoder):
    encoder = shared_encoder
    assert encoder.max_words == 15  # of the first pair, both captions
    ids = encoder.token_ids(["the XYLOPHONE, Straße", "", "dog " * 99])
    assert ids.dtype == np.int32 and ids.shape == (3, 15)
    the, street, dog = (2 + encoder.words.index(word) for word in ("the", "straße", "dog"))
    np.testing.assert_array_equal(ids[0], [the, 1, street] + [0] * 12)
    np.testing.assert_array_equal(ids[1], 0)
    np.testing.assert_array_equal(ids[2], dog)
    assert encoder.tokenizer(tf.constant(["a cat", "the dog runs"])).shape == (2, 3)
    assert encoder.tokenizer(tf.constant([""])).shape == (1, 0)
    assert encoder.token_ids([]).shape == (0, 15) and encoder.encode([]).shape == (0, 300)
    whole, cut = encoder.encode(["dog " * 15, "dog " * 14 + "dog a cat"])
    np.testing.assert_allclose(cut, whole, atol=1e-6)
    assert TextCNN.create(CAPTIONS, 100, max_words=4).token_ids(["dog " * 9]).shape == (1, 4)


def test_unknown_words_and_padding_are_zeros_whatever_their_rows_hold(create):
    encoder = create("multichannel")
    before = encoder.encode(TEXTS)
    for name in ("vectors", "static_vectors"):
        table = encoder.network.get_layer(name).embeddings
        table.assign(np.concatenate([np.full([2, 6], 9), table[2:]]))
    np.testing.assert_array_equal(encoder.encode(TEXTS), before)


def test_the_vocabulary_is_that_of_the_bag_of_words():
    encoder = TextCNN.create(CAPTIONS, 7)
    assert encoder.words == BagOfWords.fit(CAPTIONS, 7).words and len(encoder.words) == 7


def test_words_without_a_vector_start_random_with_the_variance_of_the_others(vectors_file):
    words = [f"word{i}" for i in range(3000)]
    encoder = TextCNN.create([tuple([*words, *LEXICON])], 9999, vectors_file, "static")
    table = encoder.network.get_layer("vectors").get_weights()[0][2:]
    known = np.array([word in LEXICON for word in encoder.words])
    pretrained = np.random.default_rng(0).normal(size=[len(LEXICON), 6])
    rows = [LEXICON[word] for word in np.array(encoder.words)[known]]
    np.testing.assert_allclose(table[known], pretrained[rows], rtol=1e-6)
    assert table[~known].var() == pytest.approx(pretrained.var(), rel=0.05)
    assert np.abs(table[~known]).max() <= np.sqrt(3 * pretrained.var())


def test_a_new_network_is_that_of_its_seed_and_no_draw_of_the_process():
    keras.utils.set_random_seed(0)
    start = keras.random.uniform([len(KNOWN), 300], -0.25, 0.25)
    expected = TextCNN(KNOWN, 300, "random", 15).network
    keras.utils.set_random_seed(7)
    draw = float(keras.random.uniform([]))
    keras.utils.set_random_seed(7)
    network = TextCNN.create(CAPTIONS, 100).network
    assert float(keras.random.uniform([])) == draw
    np.testing.assert_array_equal(network.get_layer("vectors").get_weights()[0][2:], start)
    for width in (3, 4, 5):
        ours, theirs = (each.get_layer(f"windows_{width}") for each in (network, expected))
        np.testing.assert_array_equal(ours.kernel, theirs.kernel)
    other = TextCNN.create(CAPTIONS, 100, seed=1).network.get_layer("vectors").get_weights()[0]
    assert np.abs(other[2:] - start).max() > 0.1


def test_random_vectors_are_300_wide_and_uniform():
    table = TextCNN.create(CAPTIONS, 100).network.get_layer("vectors").get_weights()[0]
    assert table.shape == (2 + len(KNOWN), 300)
    assert 0.24 < np.abs(table[2:]).max() <= 0.25 and not table[:2].any()


@pytest.mark.parametrize(
    "mode, trained, kept",
    [
        ("random", {"vectors"}, set()),
        ("non_static", {"vectors"}, set()),
        ("static", set(), {"vectors"}),
        ("multichannel", {"vectors"}, {"static_vectors"}),
    ],
)
def test_a_step_of_training_moves_what_the_mode_says(create, mode, trained, kept):
    encoder = create(mode)
    before = {layer.name: layer.get_weights() for layer in encoder.network.layers}
    classifier = keras.Sequential([encoder.network, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
    classifier.fit(encoder.token_ids(["a dog runs", "unknown cat"]), np.array([0, 1]), verbose=0)
    moved = {
        layer.name
        for layer in encoder.network.layers
        if any((a != b).any() for a, b in zip(before[layer.name], layer.get_weights(), strict=True))
    }
    assert moved == trained | {"windows_3", "windows_4", "windows_5"}
    for name in trained:  # the rows of words that were there, and no others
        rows = (encoder.network.get_layer(name).get_weights()[0] != before[name][0]).any(axis=1)
        words = {encoder.words[row - 2] for row in np.flatnonzero(rows)}
        assert words == {"a", "dog", "runs", "cat"} & set(encoder.words)
    for name in kept:
        assert not encoder.network.get_layer(name).trainable_weights


def test_a_mode_and_its_vectors_must_go_together(vectors_file):
    with pytest.raises(InputError, match="Unknown mode 'frozen'; use one of: multichannel, non_"):
        TextCNN.create(CAPTIONS, 9, mode="frozen")
    with pytest.raises(InputError, match="The mode 'static' does not go with .*'random': random"):
        TextCNN.create(CAPTIONS, 9, mode="static")
    with pytest.raises(InputError, match="The mode 'random' does not go with .*vectors.txt"):
        TextCNN.create(CAPTIONS, 9, vectors_file)
    with pytest.raises(InputError, match="`max_words` must be at least 1; received 0"):
        TextCNN.create(CAPTIONS, 9, max_words=0)
    with pytest.raises(InputError, match="The 1 training texts hold no word"):
        TextCNN.create([("?!",)], 9)


@pytest.mark.parametrize("mode", ["random", "multichannel"])
def test_save_and_load(create, tmp_path, mode):
    encoder = create(mode)
    before = encoder.fingerprint
    encoder.network.get_layer("vectors").embeddings.assign_add(encoder.network.weights[0] * 0.5)
    assert encoder.fingerprint != before
    encoder.save(tmp_path)
    again = TextCNN.load(tmp_path)
    assert (again.words, again.mode, again.max_words) == (encoder.words, mode, encoder.max_words)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    names = {path.name for path in tmp_path.iterdir()} - {"vectors.txt"}
    assert names == {"text_cnn.json", "text_cnn.weights.h5"}
    assert "straße" in (tmp_path / "text_cnn.json").read_text("utf-8")


def test_an_earlier_text_cnn_keeps_its_rule(tmp_path):
    earlier = TextCNN(["今天", "dog"], 4, "random", 9, version=1)
    earlier.save(tmp_path)
    path = tmp_path / "text_cnn.json"
    saved = json.loads(path.read_text("utf-8"))
    del saved["tokenizer"]
    path.write_text(json.dumps(saved))
    again = TextCNN.load(tmp_path)
    assert again.token_ids(["今天 dog 今"]).tolist()[0][:4] == [2, 3, 1, 0]
    new = TextCNN(earlier.words, 4, "random", 9)
    assert new.token_ids(["今天"]).tolist()[0][:4] == [1, 2, 1, 0]
    path.write_text(json.dumps(saved | {"tokenizer": 9}))
    with pytest.raises(InputError, match="^[^(]*by the tokenizer 9"):
        TextCNN.load(tmp_path)


def test_a_folder_that_is_not_whole_is_refused(tmp_path, create):
    refused = pytest.raises(InputError, match="holds no trained TextCNN .*: train one, or give its")
    with refused:
        TextCNN.load(tmp_path)
    create("static").save(tmp_path)
    weights, description = tmp_path / "text_cnn.weights.h5", tmp_path / "text_cnn.json"
    whole, text = weights.read_bytes(), description.read_text()
    for content in (whole[: len(whole) // 2], b""):
        weights.write_bytes(content)
        with refused:
            TextCNN.load(tmp_path)
    weights.write_bytes(whole)
    for change in ({"words": ["a"]}, {"dim": 7}, {"mode": "multichannel"}, {"max_words": 3}):
        description.write_text(json.dumps(json.loads(text) | change))
        with refused:
            TextCNN.load(tmp_path)
    description.write_text(text)
    other = tmp_path / "other"
    other.mkdir()
    create("non_static").save(other)
    (other / weights.name).replace(weights)
    with pytest.raises(InputError, match="is not what text_cnn.json was written with"):
        TextCNN.load(tmp_path)


def test_the_network_is_serialisable(create):
    network = create("multichannel").network
    again = keras.Model.from_config(network.get_config())
    again.set_weights(network.get_weights())
    ids = np.array([[2, 5, 1, 3, 0, 0, 0]])
    np.testing.assert_array_equal(again(ids), network(ids))
    assert not any(layer.name.startswith("_") for layer in network.layers)


def test_mixed_precision_gives_float32_features_close_to_those(shared_encoder):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = TextCNN.create(CAPTIONS, 100)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.network.set_weights(shared_encoder.network.get_weights())
    features = mixed.encode(TEXTS)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, shared_encoder.encode(TEXTS), atol=0.02)


def test_the_exported_graph_is_the_same_and_needs_core_ops_alone(shared_encoder, tmp_path):
    model = shared_encoder.model
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec([None], tf.string, name="text")]
    archive.add_endpoint("serving_default", model.__call__, signature)
    archive.write_out(str(tmp_path), verbose=False)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for texts in (TEXTS, [""], ["dog"], ["Straße \xff the\x00dog"]):
        (features,) = served(tf.constant(texts)).values()
        np.testing.assert_allclose(features, shared_encoder.encode(texts), atol=1e-6)
    graph = served.graph.as_graph_def()
    used = {n.op for n in graph.node} | {n.op for f in graph.library.function for n in f.node_def}
    assert {"UnicodeTranscode", "LookupTableFindV2"} <= used
    assert not any("PyFunc" in op for op in used)


def test_what_the_word_vectors_know_is_kept_with_the_encoder(create, vectors_file, tmp_path):
    encoder = create("static")
    known = f"The word vectors {vectors_file} know 5 of 18 words (28%), and not "
    assert encoder.coverage.startswith(known) and "Warning: that is few" in encoder.coverage
    encoder.save(tmp_path)
    assert TextCNN.load(tmp_path).coverage == encoder.coverage
    description = json.loads((tmp_path / "text_cnn.json").read_text())
    del description["coverage"]  # as encoders were written before
    (tmp_path / "text_cnn.json").write_text(json.dumps(description))
    assert TextCNN.load(tmp_path).coverage == ""
    assert create("random").coverage == ""


def test_a_network_on_characters(tmp_path):
    encoder = TextCNN.create([("ab a",), ("Ca!",)], 9, version=CHARACTERS)
    assert encoder.words == ("a", " ", "b", "c") and encoder.max_words == 4
    assert list(encoder.limits) == ["4 characters of TextCNN"]
    ids = encoder.token_ids(["A, b?", "xab c", "!"])
    assert ids.tolist() == [[2, 3, 4, 0], [1, 2, 4, 3], [0] * 4]
    assert unknown_words(encoder, ["a xc", "x y"]) == [["x"], ["x", "y"]]
    assert known_texts(encoder, ["x a", "x y", ""]).tolist() == [True, False, False]
    encoder.save(tmp_path)
    again = TextCNN.load(tmp_path)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(["ab c", "é"]), encoder.encode(["ab c", "é"]))
    long = TextCNN.create([("ab " * 999,)], 9, version=CHARACTERS)
    assert long.max_words == 448 and long.network.get_layer("vectors").output_dim == 16
