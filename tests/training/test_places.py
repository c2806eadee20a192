"""Runs whose encoders lie in folders that move, and runs on datasets that were loaded before."""

import json

import numpy as np
import pytest
from PIL import Image

import tfxmodal
from tests.encoders.image.tiny import tiny_encoder
from tests.inputs.test_duplicates import Said
from tests.training.test_experiment import settings
from tfxmodal.data import load_dataset
from tfxmodal.encoders.image import IMAGE_ENCODERS
from tfxmodal.encoders.places import placed, without_place
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError
from tfxmodal.search import galleries
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.settings import CannotGoOn
from tfxmodal.training.trained_run import load_run


@pytest.fixture(autouse=True)
def pairs(tmp_path, monkeypatch):
    """A manifest of ten photos, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)
    rng, rows = np.random.default_rng(0), []
    for number, split in enumerate(["train"] * 6 + ["validation"] * 2 + ["test"] * 2):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(f"{number}.png")
        rows.append({"image": f"{number}.png", "text": f"a red car {number}", "split": split})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))


def trained(resume: bool = False, **given):
    mine = {"data_dir": "pairs.jsonl", "image_encoder": "tiny", "image_weights": "random"}
    chosen = settings("pls", components=2).having(dataset="pairs", **mine | given)
    return run_experiment(chosen, "run", resume, figures=False)


def test_names_with_and_without_their_places(tmp_path):
    (tmp_path / "a+b").mkdir()
    assert placed("keras_hub:a+b") == f"keras_hub:{tmp_path}/a+b"
    assert placed("tf_idf+minilm:a+b") == f"tf_idf+minilm:{tmp_path}/a+b"
    for name in ("vgg19", "keras_hub:siglip_base", "hub:https://tfhub.dev/x"):
        assert placed(name) == without_place(name) == name
    assert without_place("keras_hub:a+b") == "keras_hub:"
    assert without_place("text_cnn:gone") == "text_cnn:"
    assert without_place("tf_idf+minilm:a+b") == without_place("tf_idf+minilm:/gone/b")


def test_a_run_goes_on_after_its_trained_encoders_moved(tmp_path):
    (tmp_path / "towers/text").mkdir(parents=True)
    TextCNN.create([("a red car 0 1 2 3 4 5",)], 20).save("towers/text")
    before = trained(encoders="towers").metrics["test"]
    (tmp_path / "towers").rename("moved")
    assert trained(resume=True, encoders="moved").metrics["test"] == before
    TextCNN.create([("a blue car",)], 9, seed=1).save("moved/text")
    (tmp_path / "moved").rename("others")
    with pytest.raises(CannotGoOn, match="begun with another text encoder .fingerprint"):
        trained(resume=True, encoders="others")


def test_a_run_is_opened_from_another_folder(siglip, tmp_path, monkeypatch):
    (tmp_path / "here").symlink_to(siglip)
    trained(image_encoder="keras_hub:here", image_weights="imagenet", text_encoder="keras_hub:here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = load_run(tmp_path / "run")
    assert run.embed_images([tmp_path / "0.png"]).shape == (1, 2)
    assert run.embed_texts(["a red car"]).shape == (1, 2)
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(InputError, match="here is not there: put it back, or .*config.json"):
        run.load_image_encoder()
    for name in ("config.json", "keras_hub_text.json"):
        file = tmp_path / "run" / name
        file.write_text(file.read_text().replace(str(tmp_path / "here"), str(tmp_path / "there")))
    run = load_run(tmp_path / "run")
    assert run.load_image_encoder().space == run.load_text_encoder().space


def test_a_run_of_an_earlier_version_knows_its_encoder_by_the_name_as_written(siglip, tmp_path):
    (tmp_path / "here").symlink_to(siglip)
    weights = {"image_encoder": "keras_hub:here", "image_weights": "imagenet"}
    trained(**weights)
    encoder = load_run("run").load_image_encoder()
    changes = {
        "config.json": (encoder.name, "keras_hub:here"),
        "model.json": (encoder.fingerprint, encoder.fingerprint_by("keras_hub:here")),
    }
    for name, (now, before) in changes.items():
        file = tmp_path / "run" / name
        assert now in file.read_text() and now != before
        file.write_text(file.read_text().replace(now, before))
    assert load_run("run").load_image_encoder().weights_hash == encoder.weights_hash
    assert trained(resume=True, **weights).finished


def test_a_dataset_that_was_loaded_is_known_again(tmp_path):
    given = load_dataset("pairs", "pairs.jsonl", on_bad_row="skip")
    options = {"image_encoder": "tiny", "image_weights": "random", "preset": "paper"}
    run = load_run(tfxmodal.train("pls", given, "run", components=2, **options).folder)
    data = run.settings.data
    assert data.data_dir == given.data_dir and str(data.data_dir) == "pairs.jsonl"
    assert data.dataset_options == ("on_bad_row=skip",)
    earlier = (tmp_path / "run/config.json").read_text().replace('"on_bad_row=skip"', "")
    (tmp_path / "run/config.json").write_text(earlier)
    assert tfxmodal.train("pls", given, "run", resume=True, components=2, **options).finished
    said = Said()
    (tmp_path / "pairs.jsonl").write_text(
        (tmp_path / "pairs.jsonl").read_text().replace("a red car 9", "a blue car")
    )
    galleries.items_of("train", run, data, reporter=said)
    assert not [line for line in said.lines if "is not what it was" in line]
    galleries.items_of("test", run, data, reporter=said)
    (told,) = [line for line in said.lines if "is not what it was" in line]
    assert told.startswith("The test split is not what it was when run was trained (hash ")
