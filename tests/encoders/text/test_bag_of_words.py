import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from tests.encoders.text.plain_words import words_of
from tfxmodal.encoders.text.bag_of_words import BagOfWords, document
from tfxmodal.encoders.text.tokens import SEPARATOR
from tfxmodal.errors import InputError
from tfxmodal.io.hashing import fingerprint

CAPTIONS = [
    ("A dog's life.", "Two DOGS, one ball!"),
    ("Äpfel und Straßenbahn", "the dog"),
    ("a cat; a cat; a cat",),
    ("",),
    ("Ο ΟΔΟΣ ★ हिन्दी", "the 2 cats"),
]


def tf_idf(encoder: BagOfWords, text: str) -> np.ndarray:
    vector = np.zeros(len(encoder.words))
    for word in words_of(text):
        if word in encoder.words:
            vector[encoder.words.index(word)] += encoder.idf[encoder.words.index(word)]
    return vector / (np.linalg.norm(vector) or 1)


@pytest.fixture(scope="module")
def encoder() -> BagOfWords:
    return BagOfWords.fit(CAPTIONS, 100)


KNOWN = [word for captions in CAPTIONS for word in words_of(document(captions))]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.sampled_from(KNOWN + ["unknown", "!", "", "[UNK]"])).map(" ".join)))
def test_vectors_are_those_of_the_formula_and_of_sklearn(encoder, texts):
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), encoder.dim) and vectors.dtype == np.float32
    oracle = np.array([tf_idf(encoder, text) for text in texts]).reshape(vectors.shape)
    np.testing.assert_allclose(vectors, oracle, atol=1e-6)
    sklearn = TfidfVectorizer(analyzer=words_of, vocabulary=encoder.words).fit(
        map(document, CAPTIONS)
    )
    np.testing.assert_allclose(encoder.idf, sklearn.idf_, rtol=1e-12)
    if texts:
        np.testing.assert_allclose(vectors, sklearn.transform(texts).toarray(), atol=1e-6)


def test_real_captions_as_sklearn_has_them(shared_data):
    table = json.loads((shared_data / "pascal_sentences" / "pascal_sentences.json").read_text())
    rows = table if isinstance(table, list) else list(table.values())
    captions = [tuple(row["captions"]) for row in rows]
    encoder = BagOfWords.fit(captions, 500)
    texts = [document(c) for c in captions]
    sklearn = TfidfVectorizer(token_pattern="[a-z0-9]+", vocabulary=encoder.words).fit(texts)
    vectors = encoder.encode(texts)
    np.testing.assert_allclose(vectors, sklearn.transform(texts).toarray(), atol=1e-6)
    counter = CountVectorizer(token_pattern="[a-z0-9]+").fit(texts)
    counts = counter.transform(texts).sum(axis=0).A1
    kept = [counts[counter.vocabulary_[word]] for word in encoder.words]
    assert kept == sorted(counts, reverse=True)[:500]


def test_vocabulary_is_the_most_frequent_words_then_the_alphabet():
    encoder = BagOfWords.fit([("b b a",), ("c a d",)], 3)
    assert encoder.words == ("a", "b", "c")
    np.testing.assert_allclose(encoder.idf, [1, np.log(3 / 2) + 1, np.log(3 / 2) + 1])
    assert BagOfWords.fit([("b b a",), ("c a d",)], 9).dim == 4


def test_fit_reads_a_stream_once_and_tells_its_progress():
    seen = []

    def progress(items, desc):
        for item in items:
            seen.append(item)
            yield item

    encoder = BagOfWords.fit((("word", str(i % 7)) for i in range(2500)), 5, progress)
    assert len(seen) == 2500 and encoder.words[0] == "word" and encoder.idf[0] == 1


def test_texts_without_known_words_are_zero(encoder):
    texts = ["", " \n", "unknown words alone", "?!", "[UNK]", "\udc80"]
    np.testing.assert_array_equal(encoder.encode(texts), 0)
    np.testing.assert_array_equal(encoder.encode([""]), 0)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_unknown_words_do_not_change_a_vector(encoder):
    plain, more = encoder.encode(["the dog", "the xylophone dog quux"])
    np.testing.assert_array_equal(plain, more)


@pytest.mark.parametrize("raw", [b"the \xff\xfe dog \xc3", b"the\x00dog", b"the\xed\xa0\x80dog"])
def test_bytes_that_are_no_utf8_separate_words(encoder, raw):
    np.testing.assert_array_equal(encoder.model(tf.constant([raw])), encoder.encode(["the dog"]))


def test_batches_make_no_difference(encoder):
    texts = ["the dog", "", "a cat and a cat", "zzz"] * 700
    tiled = np.tile(encoder.encode(texts[:4]), (700, 1))
    np.testing.assert_allclose(encoder.encode(texts), tiled, atol=1e-6)


def test_a_pair_is_all_its_captions_together(encoder):
    assert [document(each) for each in CAPTIONS] == ["\n".join(each) for each in CAPTIONS]
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_mixed_precision_leaves_the_vectors_alone(encoder):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        vectors = BagOfWords(encoder.words, encoder.idf).encode(["the dog"])
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(vectors, encoder.encode(["the dog"]))


def test_save_and_load(encoder, tmp_path):
    encoder.save(tmp_path)
    again = BagOfWords.load(tmp_path)
    assert again.words == encoder.words and again.fingerprint == encoder.fingerprint
    texts = [document(captions) for captions in CAPTIONS]
    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    assert "ß" in (tmp_path / "vocabulary.json").read_text("utf-8")
    assert BagOfWords(encoder.words, encoder.idf + 1).fingerprint != encoder.fingerprint


def test_an_earlier_vocabulary_keeps_its_rule_its_vectors_and_its_features(tmp_path):
    """The first rule kept `今天天气` as one word and `cafe\u0301` apart from `café`."""
    words = {"今天天气": 1.5, "café": 1.0, "cafe\u0301": 2.0, "dog": 1.0, "ﬁsh": 1.0}
    (tmp_path / "vocabulary.json").write_text(json.dumps({"idf": words}))
    encoder = BagOfWords.load(tmp_path)
    assert encoder.fingerprint == fingerprint(SEPARATOR, encoder.words, encoder.idf)
    texts = ["今天天气", "今天", "café", "cafe\u0301", "fish", "ﬁsh", "dog"]
    vectors = encoder.encode(texts)
    assert [row.nonzero()[0].tolist() for row in vectors] == [[0], [], [1], [2], [], [4], [3]]
    encoder.save(tmp_path)
    np.testing.assert_array_equal(BagOfWords.load(tmp_path).encode(texts), vectors)
    new = BagOfWords(["dog"], [1.0]).fingerprint
    assert new != BagOfWords(["dog"], [1.0], version=1).fingerprint


def test_a_vocabulary_of_a_later_rule_is_refused(tmp_path):
    (tmp_path / "vocabulary.json").write_text('{"tokenizer": 9, "idf": {"a": 1.0}}')
    with pytest.raises(
        InputError, match="^[^(]*by the tokenizer 9, and this tfxmodal knows 1, 2, characters: up"
    ):
        BagOfWords.load(tmp_path)


@pytest.mark.parametrize("content", [None, '{"idf": {"a": 1', "[]", '{"words": []}', '{"idf": {}}'])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(InputError, match="vocabulary.json is no vocabulary"):
        BagOfWords.load(tmp_path)


def test_bad_fits_are_refused():
    with pytest.raises(InputError, match="`vocabulary_size` must be at least 1; received 0"):
        BagOfWords.fit(CAPTIONS, 0)
    with pytest.raises(InputError, match="The 2 training texts hold no word"):
        BagOfWords.fit([("",), ("?!",)], 5)


def test_the_exported_graph_is_the_same_and_needs_core_ops_alone(encoder, tmp_path):
    archive = keras.export.ExportArchive()
    archive.track(encoder.model)
    signature = [tf.TensorSpec([None], tf.string, name="text")]
    archive.add_endpoint("serving_default", encoder.model.__call__, signature)
    archive.write_out(str(tmp_path), verbose=False)
    texts = [document(captions).encode() for captions in CAPTIONS] + [b"zzz", b"\xff the\x00dog"]
    texts += ["A\u0308pfel 中文 ﬁ ❤️".encode()]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        bundle = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(tmp_path))
        names = bundle.signature_def["serving_default"]
        (source,), (target,) = names.inputs.values(), names.outputs.values()
        served = session.run(target.name, {source.name: texts})
        nodes = list(bundle.graph_def.node)
        for function in bundle.graph_def.library.function:
            nodes += function.node_def
    np.testing.assert_allclose(served, encoder.model(tf.constant(texts)), atol=1e-6)
    used = {node.op for node in nodes}
    assert {"UnicodeTranscode", "StringLower", "StaticRegexReplace"} <= used
    assert bundle.graph_def.ByteSize() < 300_000  # The tables of letters are in it once.
    assert used <= set(dir(tf.raw_ops)) and not any("PyFunc" in op for op in used)
