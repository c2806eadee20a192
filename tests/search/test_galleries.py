from dataclasses import replace
from pathlib import Path

from tfxmodal.search import galleries
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
