import dataclasses
import json

import keras
import numpy as np
import pytest

from tests.training.tiny import make_pairs, method_of
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.errors import InputError
from tfxmodal.methods.closed_form import zero_shot
from tfxmodal.methods.gradient.scl import SCL, SCLConfig
from tfxmodal.search.index import Index
from tfxmodal.search.new_index import build_index
from tfxmodal.training.checkpoints import Checkpoints
from tfxmodal.training.run_folder import RunFolder
from tfxmodal.training.trained_run import load_run, save_fitted


def make_run(folder, saved: bool = True, precision: str = "float32", **model) -> SCL:
    """A run's folder as training leaves it, and the method in it."""
    config = SCLConfig(
        hidden_units=8,
        embedding_dim=4,
        image_scaling="standard",
        labelled_fraction=0.5,
    )
    data = {"image_encoder": "efficientnet_lite0", "image_weights": "random"}
    run = RunFolder(folder)
    run.create(
        {
            "method": "scl",
            "data": data,
            "scl": dataclasses.asdict(config),
            "training": {"precision": precision},
        }
    )
    # As earlier versions wrote it.
    description = {"image_dim": 6, "text_dim": 5, "class_names": ["a", "b", "c"]}
    run.write_json("model.json", description | {"image_tower": None, "text_encoder": None} | model)
    keras.config.set_dtype_policy(precision)
    method = method_of(SCL, make_pairs(), config)
    keras.config.set_dtype_policy("float32")
    if saved:
        Checkpoints(run.path, method.networks).save_best(1)
    return method


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_it_embeds_as_the_method_that_was_saved(tmp_path, precision):
    method = make_run(tmp_path, precision=precision)
    run = load_run(tmp_path)
    assert keras.config.dtype_policy().name == "float32"
    pairs = make_pairs(9, seed=5)
    for ours, theirs in zip(*map(embed, (run.method, method), [pairs] * 2), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert run.method.config == method.config


def embed(method: SCL, pairs):
    scorer = method.scorer()
    return scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts)


def test_widths_are_checked(tmp_path):
    make_run(tmp_path)
    run, pairs = load_run(tmp_path), make_pairs()
    run.check_inputs(pairs)
    with pytest.raises(InputError, match="image features are 5 wide and .* trained on 6"):
        run.check_inputs(pairs.with_features(images=pairs.texts))
    with pytest.raises(InputError, match="text features are 6 wide and .* trained on 5"):
        run.check_inputs(pairs.with_features(texts=pairs.images))


def test_ready_features_have_no_encoders(tmp_path):
    make_run(tmp_path)
    run = load_run(tmp_path)
    with pytest.raises(InputError, match="ready image features, and this dataset has image files"):
        run.load_image_encoder()
    with pytest.raises(InputError, match="ready text features, and this dataset has captions"):
        run.load_text_encoder()


def test_another_image_encoder_is_refused(tmp_path):
    make_run(tmp_path, image_tower="0123456789abcdef")
    with pytest.raises(InputError, match="efficientnet_lite0 has .* trained with 0123456789abcdef"):
        load_run(tmp_path).load_image_encoder()


def test_the_encoder_is_the_saved_one(tmp_path):
    encoder = BagOfWords.fit([("a dog",), ("a cat",)], 10)
    make_run(tmp_path, text_encoder=encoder.fingerprint)
    encoder.save(tmp_path)
    assert load_run(tmp_path).load_text_encoder().fingerprint == encoder.fingerprint
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(InputError, match="vocabulary.json is no vocabulary"):
        load_run(tmp_path).load_text_encoder()


def test_runs_without_weights_are_known_by_their_encoders(tmp_path):
    """Zero-shot runs have none: else an index of one would open with another one's vectors."""

    def run_of(name, image, text):
        folder = RunFolder(tmp_path / name)
        folder.create({"method": "zero_shot", "data": {}, "zero_shot": {}, "training": {}})
        sides = {
            "image": {"kind": "global", "shape": [6]},
            "text": {"kind": "global", "shape": [6]},
        }
        told = {"inputs": sides | {"classes": None}, "class_names": None, "chosen": {}}
        encoders = {"image_encoder": image, "text_encoder": text}
        folder.write_json("model.json", told | encoders)
        pairs = make_pairs(4)
        pairs = pairs.with_features(texts=pairs.images)
        save_fitted(folder, zero_shot.fit(pairs, pairs, zero_shot.ZeroShotConfig()))
        return load_run(folder.path)

    run = run_of("one", "aa", "bb")
    assert run.fingerprint == run_of("again", "aa", "bb").fingerprint
    scorer = run.scorer()
    index = build_index(scorer, run.fingerprint, "images", folder=tmp_path / "index")
    index.add(["a"], scorer.embed_images(np.ones([1, 6], np.float32)))
    for name, encoders in (
        ("images", ("cc", "bb")),
        ("texts", ("aa", "cc")),
        ("swap", ("bb", "aa")),
    ):
        other = run_of(name, *encoders)
        with pytest.raises(InputError, match=f"made with the model {run.fingerprint}, and this is"):
            Index.load(tmp_path / "index", other.scorer(), other.fingerprint)
    make_run(tmp_path / "scl", image_tower="aa")  # Others are known by their weights alone.
    model, scl = tmp_path / "scl/model.json", load_run(tmp_path / "scl")
    model.write_text(model.read_text().replace('"aa"', '"bb"'))
    assert load_run(tmp_path / "scl").fingerprint == scl.fingerprint


def test_what_is_no_trained_run(tmp_path):
    with pytest.raises(InputError, match="has no config.json: give the folder of a run"):
        load_run(tmp_path)
    make_run(tmp_path / "stopped", saved=False)
    with pytest.raises(InputError, match="stopped before an epoch was chosen"):
        load_run(tmp_path / "stopped")
    make_run(tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"scl": {"gone": 1}}))
    with pytest.raises(InputError, match=r"unknown fields \['gone'\]"):
        load_run(tmp_path / "old")
    path.write_text(json.dumps(config | {"method": "clip"}))
    with pytest.raises(
        InputError, match="Unknown method of the run 'clip'; use one of: acmr, cca, ccl, "
    ):
        load_run(tmp_path / "old")
    path.write_text(path.read_text()[:20])
    with pytest.raises(InputError, match="config.json is damaged"):
        load_run(tmp_path / "old")
