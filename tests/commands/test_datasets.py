import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs import MAKERS, QUICK
from tfxmodal.commands import cli, evaluate, extract_features, train
from tfxmodal.data import DATASETS
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import load_image_encoder
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.prepare import split_rows
from tfxmodal.methods.spec import GLOBAL

LABELLED = set(MAKERS) - {"flickr8k"}
WITH_PHOTOS = {"pascal_sentences", "flickr8k", "coco", "pairs"}


@pytest.mark.parametrize("dataset", MAKERS)
def test_every_dataset_trains(trained, dataset, figures):
    run = trained(dataset, "pls")
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("validation", "test"):
        results = metrics[split]
        assert 0 < results["recall_at"]["average"]["10"] <= 1
        if dataset in LABELLED:
            assert 0 < results["map_all"]["average"] <= 1
        else:
            assert results["map_all"] is None
    # An image is found by five captions, each of which is a query of its own.
    captions = 5 if dataset in WITH_PHOTOS else 1
    assert results["gallery"]["image_to_text"] == captions * results["queries"]["image_to_text"]
    figures = {path.stem for path in (run / "figures").iterdir()}
    assert ("tsne" in figures) == (dataset in LABELLED)
    assert ("retrieved" in figures) == (dataset in WITH_PHOTOS)


def test_what_a_run_tells_of_its_data(trained):
    model = json.loads((trained("coco", "pls") / "model.json").read_text())
    assert model["inputs"]["image"] == {"kind": "global", "shape": [1280], "dtype": "float32"}
    assert model["inputs"]["text"]["shape"] == [200] and model["inputs"]["classes"] == 80
    assert model["pairs"] == {"train": 20, "validation": 10, "test": 10}
    assert len(model["class_names"]) == 80 and model["image_encoder"] and model["text_encoder"]
    model = json.loads((trained("wikipedia", "pls") / "model.json").read_text())
    assert [model["inputs"][kind]["shape"] for kind in ("image", "text")] == [[128], [100]]
    assert model["image_encoder"] is None and model["text_encoder"] is None


@pytest.fixture
def damaged(small, tmp_path) -> Path:
    """A manifest of which one training photo is cut short and one is no photo."""
    manifest = Path(small("pairs")[3])
    lines = manifest.read_text().splitlines()
    for row, content in ((1, b"\xff\xd8\xff cut short"), (2, b"not a photo")):
        fields = json.loads(lines[row])
        (tmp_path / f"{row}.jpg").write_bytes(content)
        lines[row] = json.dumps(fields | {"image": str(tmp_path / f"{row}.jpg")})
    (tmp_path / "images").symlink_to(manifest.parent / "images")
    (tmp_path / "damaged.jsonl").write_text("\n".join(lines))
    return tmp_path / "damaged.jsonl"


def test_bad_images_end_it_or_are_left_out(damaged, complaint, capsys):
    flags = ["--dataset", "pairs", "--data-dir", str(damaged), *QUICK[:4]]
    told = complaint(extract_features.main, *flags)
    assert "2 of 40 images are bad (row 1: " in told and "--on-bad-image skip" in told

    extract_features.main([*flags, "--on-bad-image", "skip"])
    told = capsys.readouterr().out
    assert "2 of 30 train images are left out" in told and "2.jpg: the file is no picture" in told
    train.main(
        ["scl", "--dataset", "pairs", "--data-dir", str(damaged), *QUICK, "--on-bad-image", "skip"]
    )
    model = json.loads(Path("runs/scl-pairs/model.json").read_text())
    # Each photo has five captions, and each of them makes a pair.
    assert model["pairs"] == {"train": 5 * 28, "validation": 5 * 5, "test": 5 * 5}
    evaluate.main(["--run", "runs/scl-pairs", "--baseline", "pls"])  # skips as the training did


PHOTOS_GONE = "holds none of the photos|lacks .* photos|has no image file"


PASCAL = "PASCAL --image-tower efficientnet_lite0"


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--dataset cocoa", f"Unknown dataset 'cocoa'; use one of: {', '.join(sorted(DATASETS))}"),
        ("--dataset coco", "data/coco/annotations lacks 4 annotations .*--download"),
        ("--dataset pairs", "No manifest at data/pairs"),
        ("--dataset wikipedia", "data/wikipedia .*npz"),
        ("--dataset features --data-dir nowhere", "--data-dir nowhere is not there"),
        ("--dataset flickr8k --download", "Unknown option of dataset flickr8k 'download'"),
        ("--dataset-options sise=20", "Unknown option .* 'sise'; use one of: .*seed, size"),
        ("--dataset-options 20", "takes NAME=VALUE; received '20'"),
        ("--dataset-options size=5", "`size` must be 10 or more"),
        ("--dataset-options size=five", "size takes a whole number; received 'five'"),
        ("--dataset coco --dataset-options year=2018", "year '2018'; use one of: 2014, 2017"),
        ("--dataset coco --dataset-options download=no", "takes true or false; received 'no'"),
        (
            "PASCAL --image-tower vgg91",
            "Unknown image encoder 'vgg91'; .*efficientnet_l.*vgg19",
        ),
        (f"{PASCAL} --image-weights gone.pth", "gone.pth"),
        (f"{PASCAL} --text-encoder bert", "Unknown text encoder 'bert'; use one of: .*tf_idf"),
        (f"{PASCAL} --vocabulary-size 0", "at least 1; received 0"),
    ],
)
def test_wrong_flags_are_told_in_a_sentence(small, complaint, flags, message):
    flags = flags.replace("PASCAL", " ".join(small("pascal_sentences")))
    told = complaint(extract_features.main, *flags.split())
    assert re.search(message, told), told


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--dataset coco", "data/coco/annotations lacks"),
        ("FEATURES --batch-size 0", "--batch-size must be at least 1; received 0"),
        ("FEATURES --dropout 1", "--dropout must be from 0 to below 1; received 1.0"),
        (
            "FEATURES --labelled-fraction 0.1",
            r"^\S+: --labelled-fraction 0.1 needs labels, .* leave it at 0",
        ),
    ],
)
def test_a_training_that_cannot_begin_leaves_no_run(small, capsys, tmp_path, flags, message):
    """Else the next attempt would meet a folder that holds another configuration."""
    unlabelled = tmp_path / "unlabelled"
    unlabelled.mkdir()
    for path in Path(small("features")[3]).glob("*_[!l]*.npy"):
        (unlabelled / path.name).symlink_to(path)
    flags = flags.replace("FEATURES", f"--dataset features --data-dir {unlabelled}")
    with pytest.raises(SystemExit):
        cli.run(lambda: train.main(["scl", *flags.split()]))
    told = " ".join("".join(capsys.readouterr()).replace("│", " ").split())
    assert re.search(message, told), told
    assert not Path("runs").exists()


def test_photos_that_are_gone(small, complaint, tmp_path):
    for dataset in ("pascal_sentences", "flickr8k", "coco", "pairs"):
        place = Path(small(dataset)[3])
        folder = tmp_path / dataset
        folder.mkdir()
        for path in (place.parent if place.is_file() else place).iterdir():
            if path.name not in ("images", "train2017", "val2017"):
                (folder / path.name).symlink_to(path)
        there = folder / place.name if place.is_file() else folder
        told = complaint(extract_features.main, "--dataset", dataset, "--data-dir", str(there))
        assert str(folder) in told and re.search(PHOTOS_GONE, told), told


@pytest.mark.parametrize(
    "command, words",
    [(train, ["scl"]), (train, ["ridge_cca"]), (extract_features, []), (evaluate, [])],
)
def test_help_teaches(command, words, capsys):
    with pytest.raises(SystemExit) as exit:
        command.main([*words, "--help"])
    assert exit.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    name = " ".join([f"{command.__name__.rpartition('.')[2]}.py", *words])
    assert f"python trainers/{name} --" in told
    assert "--dataset" in told and "(default: " in told


def test_features_of_another_picture_in_the_place_of_one_are_not_taken(tmp_path, cache_dir):
    picture = tmp_path / "a.bmp"
    tower = load_image_encoder("efficientnet_lite0")

    def features(colour) -> np.ndarray:
        Image.new("RGB", (8, 8), colour).save(picture)  # of one size, whatever it shows
        pairs = Pairs(np.array(["a"]), np.array([str(picture)]), [()])
        config = DataConfig("pairs", cache_dir=cache_dir)
        return split_rows(config, "test", pairs, GLOBAL, tower, None)[1].images[:]

    red, blue = features("red"), features("blue")
    assert np.abs(red - blue).max() > 0.1
