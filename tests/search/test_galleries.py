from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.inputs.test_duplicates import Said
from tfxmodal.inputs.config import DataConfig
from tfxmodal.search import galleries
from tfxmodal.search.galleries import Items
from tfxmodal.training.run_folder import RunFolder
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
