import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.encoders.text.test_registry import save
from tfxmodal.encoders.text import load_text_encoder
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.encoders.text.known_words import (
    KnownWords,
    cut_texts,
    known_texts,
    told_cut,
    unknown_words,
)
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.serving.export.inputs import UNKNOWN_WORDS, text_rows

CAPTIONS = [("a dog in a café", "中文 ❤️"), ("a cat",)]
TEXTS = ["A dog, a quux!", "", "cafe\u0301 Ünder 中国 ❤ 🎉", "?!", "xyzzy xyzzy"]
UNKNOWN = [["quux"], [], ["ünder", "中国", "国", "🎉"], [], ["xyzzy", "xyzzy"]]


@pytest.fixture(params=["bag", "cnn"], scope="module")
def encoder(request):
    if request.param == "bag":
        return BagOfWords.fit(CAPTIONS, 100)
    return TextCNN.create(CAPTIONS, 100)


def test_unknown_words_are_named_as_people_write_them(encoder):
    assert unknown_words(encoder, TEXTS) == UNKNOWN
    assert known_texts(encoder, TEXTS).tolist() == [True, False, True, False, False]
    assert unknown_words(encoder, []) == []


def test_a_text_cnn_reads_no_words_beyond_its_cut():
    encoder = TextCNN.create([("a b",)], 9)
    assert unknown_words(encoder, ["x a b y"]) == [["x"]]
    assert known_texts(encoder, ["x y a"]).tolist() == [False]


def test_the_graph_of_a_served_model_tells_them(encoder):
    kind = "words" if isinstance(encoder, TextCNN) else "global"
    (_, valid), unknown = text_rows(encoder, tf.constant([*TEXTS, "x " * 99]), kind)
    told = [unicodedata.normalize("NFC", each.decode()).split() for each in unknown.numpy()]
    cut = [["x"] * min(UNKNOWN_WORDS, getattr(encoder, "max_words", 99))]
    assert told == UNKNOWN + cut
    assert valid.numpy().tolist() == [True, False, True, False, False, False]


def test_shares_are_counted_word_by_word(encoder):
    counts = KnownWords.count(encoder, TEXTS * 500)
    assert (counts.words, counts.known, counts.texts) == (500 * 13, 500 * 6, 2500)
    assert counts.without[:4] == [1, 3, 4, 6]
    told = counts.told([f"id{row}" for row in range(2500)], True)
    assert told == (
        "46.2% of 6,500 words are known; 1,500 of 2,500 texts hold no known word and are scored "
        "all the same: id1, id3, id4, id6, id8, ..."
    )
    assert KnownWords.count(encoder, ["a"]).told(["x"], True) == "100.0% of 1 words are known"
    assert KnownWords.count(encoder, []).words == 0


def test_nothing_is_told_of_a_vocabulary_that_nobody_knows(tmp_path):
    encoder = load_text_encoder(save(tmp_path), [])
    assert unknown_words(encoder, ["quux"]) == [[]]
    assert KnownWords.count(encoder, ["quux"]).told(["x"], encoder.words is not None) == ""
    told = KnownWords.count(encoder, ["quux", "?"]).told(["x", "y"], encoder.words is not None)
    assert told.startswith("1 of 2 texts hold no known word and are scored all the same: y")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_texts_and_vocabularies_of_either_form_go_together(form):
    captions = [(unicodedata.normalize(form, "Ein Café, zwei Cafés, über Åland: 한국어"),)]
    encoder = BagOfWords.fit(captions, 100)
    assert encoder.words == ("café", "cafés", "ein", "zwei", "åland", "über", "한국어")
    ones, others = (
        encoder.encode([unicodedata.normalize(each, "das Café über Åland 한국어")])
        for each in ("NFC", "NFD")
    )
    np.testing.assert_array_equal(ones, others)
    assert np.count_nonzero(ones) == 4


CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason=f"needs the inputs at {CASES}")
@pytest.mark.parametrize("name", ["chinese_unique", "chinese_unique_spaced"])
def test_chinese_sentences_tell_what_they_are_about(name):
    """Ridge regression finds a test sentence's colour and shape."""
    splits = {"train": [], "validation": [], "test": []}
    for line in (CASES / name / "pairs.jsonl").read_text("utf-8").splitlines():
        pair = json.loads(line)
        splits[pair["split"]] += [(text, set(pair["labels"])) for text in pair["texts"]]
    train, test = splits["train"], splits["test"]
    classes = sorted(set.union(*(labels for _, labels in train)))
    encoder = BagOfWords.fit([(text,) for text, _ in train], 3000)
    x, y = (encoder.encode([text for text, _ in rows]) for rows in (train, test))
    wanted = np.array([[name in labels for name in classes] for _, labels in train], float)
    scores = y @ np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ wanted)
    found = [{classes[i] for i in row[:2]} for row in np.argsort(-scores, axis=1)]
    right = [labels == best for best, (_, labels) in zip(found, test, strict=True)]
    assert np.mean(right) > 0.95


def test_texts_that_a_text_cnn_cuts_are_counted(tmp_path):
    encoder = TextCNN.create([("a b",)], 9)
    texts = ["a b", "a b c", "x y z", "中文"]
    assert cut_texts(encoder, texts) == {"2 words of TextCNN": 3}
    assert cut_texts(BagOfWords.fit(CAPTIONS, 9), texts) == {}
    told = told_cut({"2 words of TextCNN": 3, "9 tokens of Bert": 0}, 4)
    assert told == ["3 of 4 texts are longer than 2 words of TextCNN: the rest of them is not read"]
    encoder.save(tmp_path)
    joined = load_text_encoder(f"tf_idf+text_cnn:{tmp_path}", CAPTIONS)
    assert cut_texts(joined, texts) == {"2 words of TextCNN": 3}
