from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError
from tfxmodal.inputs import features
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.prepare import prepare
from tfxmodal.inputs.raw import text_cnn_to_train
from tfxmodal.io.reporter import Reporter


def ready(images=None, texts=None) -> Dataset:
    """Four pairs of features, or of what is given in their place."""
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    given = [features if column is None else column for column in (images, texts)]
    return Dataset("mine", *[Pairs(np.array(list("abcd")), *given)] * 3)


def test_token_ids_beside_ready_features():
    captions = [("one dog",), ("two dogs run",), ("a cat",), ("the cat sleeps",)]
    kinds = {"image": "global", "text": "words"}
    prepared = prepare(ready(texts=captions), DataConfig("mine"), kinds)
    train = prepared.features.train
    np.testing.assert_array_equal(train.images, ready().train.images)
    assert len(train.texts) == 4 and np.asarray(train.texts[:]).dtype.kind == "i"
    assert prepared.inputs.image.kind == "global" and prepared.inputs.text.kind == "words"
    assert set(prepared.inputs.networks) == {"text"}


@pytest.mark.parametrize(
    "image, text, message",
    [
        ("map", "global", "maps of images, and the dataset mine has ready features"),
        ("pixels", "global", "needs the images themselves, and the dataset mine has ready"),
        ("global", "words", "needs the texts themselves, and the dataset mine has ready"),
    ],
)
def test_ready_features_are_not_read_as_another_kind(image, text, message):
    with pytest.raises(InputError, match=message):
        prepare(ready(), DataConfig("mine"), {"image": image, "text": text})


def test_the_mean_of_captions_is_not_read_as_words():
    captions, kinds = [("one dog", "a dog")] * 4, {"image": "global", "text": "words"}
    averaged = DataConfig("mine", captions="averaged")
    with pytest.raises(InputError, match="`captions` averaged .*: give joined or each"):
        prepare(ready(texts=captions), averaged, kinds)
    encoder = text_cnn_to_train(DataConfig(), captions)  # As in runs of earlier versions.
    texts = prepare(ready(texts=captions), averaged, kinds, text_encoder=lambda: encoder).features
    assert len(texts.train.texts) == 4


def test_what_word_vectors_know_is_told(tmp_path):
    (tmp_path / "v.txt").write_text("dog 1 2\ncat 3 4\n")
    told, reporter = [], Reporter()
    reporter.say = told.append
    config = DataConfig(word_vectors=str(tmp_path / "v.txt"))
    text_cnn_to_train(config, [("a dog",), ("a cat runs",)], reporter=reporter)
    assert told == [f"The word vectors {tmp_path}/v.txt know 2 of 4 words (50%), and not a, runs."]
    text_cnn_to_train(DataConfig(), [("a dog",)], reporter=reporter)
    assert len(told) == 1


def test_a_bad_test_image_is_told_before_any_is_encoded(tmp_path, monkeypatch):
    def split(name: str) -> Pairs:
        paths = [str(tmp_path / f"{name}{row}.png") for row in range(2)]
        for row, path in enumerate(paths):
            Image.new("RGB", (24, 24), (row, 9, 9)).save(path)
        return Pairs(np.array(["a", "b"]), np.array(paths), np.eye(2, dtype=np.float32))

    source = Dataset("mine", *map(split, ("train", "validation", "test")))
    for name in ("validation1.png", "test0.png"):
        (tmp_path / name).write_bytes(b"no picture")
    monkeypatch.setattr(features, "Extractor", lambda *_: pytest.fail("encodes"))
    config = DataConfig("mine", cache_dir=tmp_path / "cache")
    kinds = {"image": "global", "text": "global"}
    with pytest.raises(InputError, match="2 of 6 images are bad .*validation1.png.*test0.png"):
        prepare(source, config, kinds, tiny_encoder)


@pytest.mark.parametrize(("captions", "cut", "texts"), [("joined", 4, 4), ("averaged", 2, 8)])
def test_texts_that_are_cut_are_told_and_kept(tmp_path, captions, cut, texts):
    said, reporter = [], Reporter()
    reporter.say = said.append
    TextCNN.create([("one big dog",)], 9).save(tmp_path)
    given = [("one dog", "two dogs"), ("a", "one two three four"), ("b c", "d e"), ("f", "a b c d")]
    name = f"text_cnn:{tmp_path}"
    config = DataConfig("mine", text_encoder=name, captions=captions, cache_dir=tmp_path / "cache")
    kinds = {"image": "global", "text": "global"}
    prepared = prepare(ready(texts=given), config, kinds, reporter=reporter)
    limit = "3 words of TextCNN"
    assert prepared.description()["known_words"]["test"]["texts_cut"] == {limit: cut}
    told = f"{cut} of {texts} texts are longer than {limit}: the rest of them is not read"
    assert f"validation: {told}" in said


def test_characters_are_of_a_text_cnn_that_is_new_and_trained(tmp_path):
    config = DataConfig("mine", text_tokens="characters")
    encoder = text_cnn_to_train(config, [("a dog",)])
    assert sorted(encoder.words) == [" ", *"adgo"]
    with pytest.raises(InputError, match="`text_tokens` characters .* reads features of texts"):
        prepare(ready(), config, {"image": "global", "text": "global"})
    encoder.save(tmp_path)
    for given in ({"text_tokens": "characters"}, {"word_vectors": "v"}, {"text_mode": "static"}):
        trained = DataConfig("mine", text_encoder=f"text_cnn:{tmp_path}", **given)
        with pytest.raises(
            InputError, match="`text_encoder` names the trained .*: leave one of them"
        ):
            text_cnn_to_train(trained, [("a dog",)])


@pytest.mark.parametrize("how", ["joined", "averaged"])
def test_single_captions_are_encoded_once(how, tmp_path, monkeypatch):
    encoded, encode = [], TextCNN.encode

    def noted(self, texts):
        encoded.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(TextCNN, "encode", noted)
    TextCNN.create([("one big dog",)], 9).save(tmp_path)
    given = [("one dog", "a dog"), (), ("big",), ("one big dog", "one")]
    single = [caption for captions in given for caption in captions]
    config = DataConfig(
        "mine", text_encoder=f"text_cnn:{tmp_path}", captions=how, cache_dir=tmp_path / "cache"
    )
    prepared = prepare(ready(texts=given), config, {"image": "global", "text": "global"})
    for _ in range(2):
        found = prepared.single_captions("test", tmp_path / "cache")
        np.testing.assert_allclose(found[:], encode(prepared.text_encoder, single), atol=1e-6)
    assert all(encoded.count(caption) == 1 for caption in single)


def test_single_captions_are_of_pairs_with_none_or_several(tmp_path):
    config, kinds = DataConfig("mine", cache_dir=tmp_path), {"image": "global", "text": "global"}
    single = lambda source: prepare(source, config, kinds).single_captions("test", tmp_path)  # noqa: E731
    assert single(ready()) is single(ready(texts=[("a dog",)] * 4)) is None
    several = ready(texts=[("a dog", "dogs")] * 4)
    assert len(single(several)) == 8
    asks = np.array([True, False, False, False])
    labels = np.ones((4, 1), np.uint8)
    asking = replace(several.test, queries=asks, labels=labels)
    assert single(several.replace_splits(test=asking)) is None
    words = prepare(several, config, kinds | {"text": "words"})
    ids = words.single_captions("test", tmp_path)
    np.testing.assert_array_equal(ids, words.text_encoder.encode(["a dog", "dogs"] * 4))
