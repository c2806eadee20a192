import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.encoders.image.tiny import tiny_encoder
from tests.inputs.test_duplicates import Said
from tfxmodal.encoders.image import IMAGE_ENCODERS
from tfxmodal.inputs import features
from tfxmodal.inputs.config import DataConfig
from tfxmodal.search import galleries
from tfxmodal.search.galleries import Items
from tfxmodal.search.run_index import RunIndex
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.run_folder import RunFolder
from tfxmodal.training.settings import Settings
from tfxmodal.training.trained_run import load_run


def test_of_another_run_only_the_place_of_its_data_is_taken(trained, small, tmp_path, monkeypatch):
    run = load_run(trained("pascal_sentences"))
    own, saved = run.settings.data, run.settings.to_json()
    theirs = {"on_bad_image": "skip", "image_weights": "gone.h5", "cache_dir": "gone"}
    place = {"dataset": "coco", "data_dir": small("coco")[3], "dataset_options": ["year=2017"]}
    other = RunFolder(tmp_path / "other")
    other.create(saved | {"data": saved["data"] | place | theirs})
    asked = []
    monkeypatch.setattr(galleries, "_items_of_split", lambda run, *given: asked.append(given[:2]))
    galleries.items_of(str(other.path), run, own)
    place |= {"dataset_options": ("year=2017",), "data_dir": Path(place["data_dir"])}
    assert asked == [(replace(own, **place), "test")]


def test_equal_items_of_a_gallery_are_told(tmp_path):
    """Of pictures by their files, of texts by their words, of features by their values."""
    rows = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    paths = [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    for path, content in zip(paths, (b"one", b"two", b"one"), strict=True):
        Path(path).write_bytes(content)
    ids = ["a", "b", "c"]
    galleries_of = [
        ("images", [Items(ids, rows, paths)], "2 of 3 images are equal to another one (c = a)"),
        ("texts", [Items(ids, rows, ["A dog", "a cat", "a dog"], True)], "2 of 3 texts"),
        ("images", [Items(ids, rows[[0, 1, 1]], ids)], "2 of 3 images"),
        ("images", [Items(ids, rows, ids), Items(["d"], rows[:1], ["d"])], "2 of 4 images"),
    ]
    for kind, parts, expected in galleries_of:
        said = Said()
        galleries.tell_duplicates(parts, kind, DataConfig(cache_dir=tmp_path / "cache"), said)
        (line,) = said.lines
        assert line.startswith(f"gallery: {expected}")


@pytest.fixture
def run_of_pairs(tmp_path, monkeypatch):
    """A run on a manifest of 16 photos with three captions each, which it reads one by one."""
    monkeypatch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)
    rng, rows = np.random.default_rng(0), []
    for number, split in enumerate(["train"] * 8 + ["validation"] * 4 + ["test"] * 4):
        picture = rng.integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        texts = [f"{word} {number}" for word in ("red", "the green", "blue and")]
        rows.append({"image": f"{number}.png", "texts": texts, "split": split, "year": number})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    chosen = Settings.for_dataset("pls", "pairs").having(
        data_dir=tmp_path / "pairs.jsonl",
        image_encoder="tiny",
        image_weights="random",
        cache_dir=tmp_path / "cache",
        engine="tensorflow",
        components=2,
    )
    assert chosen.data.captions == "each"
    return load_run(run_experiment(chosen, tmp_path / "run", figures=False).folder)


def test_a_split_holds_each_photo_once_and_each_caption(run_of_pairs, tmp_path):
    found = galleries.items_of("test", run_of_pairs, run_of_pairs.settings.data)
    images, texts = found["images"], found["texts"]
    assert images.ids == [f"{n}.png" for n in range(12, 16)]
    assert images.shown == [str(tmp_path / name) for name in images.ids]
    assert images.metadata["text"][0] == "red 12\nthe green 12\nblue and 12"
    assert images.features.shape == (4, 12) and len(np.unique(images.features[:], axis=0)) == 4
    assert texts.ids[:4] == ["12.png#0", "12.png#1", "12.png#2", "13.png#0"]
    assert len(texts.ids) == len(texts.features) == 12
    of_manifest = galleries.items_of(
        str(tmp_path / "pairs.jsonl"), run_of_pairs, run_of_pairs.settings.data
    )["images"]
    np.testing.assert_array_equal(images.features[:], of_manifest.features[12:16])
    index = RunIndex.new(run_of_pairs)
    index.add("test")
    assert sorted(index.search(["red"], k=10)[0][0]) == images.ids


def test_of_a_manifest_only_what_is_asked_for_is_encoded(run_of_pairs, tmp_path, monkeypatch):
    Image.new("RGB", (9, 9)).save(tmp_path / "new.png")
    (tmp_path / "new.jsonl").write_text('{"image": "new.png", "text": "red", "year": 3}\n')
    with monkeypatch.context() as patch:
        patch.setattr(features, "Extractor", None)
        index = RunIndex.new(run_of_pairs, "texts")
        index.add(tmp_path / "new.jsonl")
        assert len(index) == 1
    monkeypatch.setattr(galleries, "_texts", None)
    index = RunIndex.new(run_of_pairs, "images")
    index.add(tmp_path / "new.jsonl")
    assert len(index) == 1
