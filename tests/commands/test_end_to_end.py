import json
import shutil
from pathlib import Path

import pytest

from tests.commands.test_evaluate import assert_near, elsewhere
from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.commands import build_index, evaluate, export_savedmodel, train, verify_savedmodel
from tfxmodal.encoders.image import IMAGE_ENCODERS, load_image_encoder
from tfxmodal.inputs import prepare
from tfxmodal.serving.export import export as exporting
from tfxmodal.training import trained_run
from tfxmodal.training.trained_run import load_run

QUICK = (
    "--end-to-end --image-tower tiny --image-weights random --vocabulary-size 100 --epochs 1 "
    "--batch-size 10 --hidden-units 8 --feature-dim 4 --relation-units 8"
).split()


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)
    for module in (prepare, trained_run):  # Not kept: it is trained.
        monkeypatch.setattr(module, "load_image_encoder", load_image_encoder)


def results(folder) -> dict:
    return json.loads((Path(folder) / "metrics.json").read_text())


def test_a_run_end_to_end_is_resumed_and_measured_again(small, complaint):
    flags = [*small("coco"), *QUICK]
    train.main(["drsl", *flags])
    run = Path("runs/drsl-coco")
    # No features: what files hold is remembered, so that duplicates are found.
    assert {path.stem for path in Path("cache").rglob("*")} == {"files"}
    model = json.loads((run / "model.json").read_text())
    image, text = (model["inputs"][kind] for kind in ("image", "text"))
    assert image == {"kind": "pixels", "shape": [16, 16, 3], "dtype": "uint8"}
    assert text["kind"] == "words" and text["shape"][0] > 20
    assert 0 < results(run)["test"]["map_all"]["average"] < 1

    evaluate.main(["--run", str(run)])
    again = results(run / "evaluation/coco-test")["methods"]["drsl"]
    assert_near(again, results(run)["test"])
    evaluate.main(["--run", str(run), *small("pascal_sentences")])
    assert results(elsewhere(run, "pascal_sentences"))["pairs"] == 5
    told = complaint(evaluate.main, "--run", str(run), "--baseline", "pls")
    assert "reads pixels and words: give a run that was trained on features" in told
    told = complaint(evaluate.main, "--run", str(run), *small("wikipedia"))
    assert "the dataset wikipedia has ready features" in told

    picture = next(Path(small("coco")[-1]).rglob("*.jpg"))
    for gallery, query in (("images", ["--text", "a dog"]), ("texts", ["--image", str(picture)])):
        flags_of_index = ["--run", str(run), "--to", gallery]
        build_index.main([*flags_of_index, "--data", "test", "--gallery", gallery])
        build_index.main([*flags_of_index, *query])

    before = results(run)
    shutil.copytree(run, "copy")
    (Path("copy") / "metrics.json").unlink()
    train.main(["drsl", *flags, "--run-dir", "copy", "--resume"])  # Its one epoch is done.
    assert_near(results("copy")["test"], before["test"])


def test_an_export_of_a_run_on_characters_is_verified(small, monkeypatch):
    monkeypatch.setattr(exporting, "check", lambda folders, report: None)  # Once is enough.
    flags = (
        "--end-to-end --text-tokens characters --image-encoder tiny --image-weights random "
        "--batch-size 20 --first-units 8 --hidden-units 8 --quadruplets 2 --centre-epochs 1"
    ).split()
    command = ["fgcrossnet", *small("pascal_sentences"), *flags]
    train.main([*command, "--epochs", "1"])
    run = load_run("runs/fgcrossnet-pascal_sentences")
    encoder = run.load_text_encoder()
    assert {" ", "a", "e"} <= set(encoder.words) and all(len(each) == 1 for each in encoder.words)
    assert run.inputs.text.shape[0] == encoder.max_words > 100
    assert run.unknown_words(["a dog, \u03a9!"]) == [["\u03c9"]]
    export_savedmodel.main(["--run", str(run.folder.path), "--to", "models/m"])
    verify_savedmodel.main(["models/m", "--run", str(run.folder.path)])


@pytest.mark.parametrize(
    "dataset, flags, message",
    [
        ("wikipedia", "", "needs the images themselves, and the dataset wikipedia has ready"),
        ("flickr8k", "", "drsl learns from labels"),
        ("coco", "--text-encoder hub:X", "text encoder hub:X cannot be trained further"),
        ("coco", "--text-encoder text_cnn:gone", "gone holds no trained TextCNN"),
        ("coco", "--text-encoder bert", "Unknown text encoder 'bert'"),
        ("coco", "--precision mixed_bfloat16", "that --end-to-end trains compute in float32"),
    ],
)
def test_what_cannot_be_trained_end_to_end_is_told(small, complaint, dataset, flags, message):
    assert message in complaint(train.main, "drsl", *small(dataset), *QUICK, *flags.split())
    assert not Path("runs").exists()
