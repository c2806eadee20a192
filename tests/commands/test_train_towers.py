import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.encoders.image.tiny import tiny_encoder
from tests.runs import PHOTOS
from tfxmodal.commands import extract_features, train, train_towers
from tfxmodal.data import load_dataset
from tfxmodal.data.label_noise import with_label_noise
from tfxmodal.data.repeated import without_number
from tfxmodal.encoders.image import IMAGE_ENCODERS, load_image_encoder
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError
from tfxmodal.inputs import prepare
from tfxmodal.inputs.config import DataConfig, trained_on_labels
from tfxmodal.inputs.raw import check_trainable
from tfxmodal.methods.gradient.encoder_classifier import EncoderClassifier
from tfxmodal.training import encoder_training

LEARN = "--image-tower tiny --image-weights random --vocabulary-size 200 --epochs-image 4 "
LEARN += "--epochs-text 4 --learning-rate-image 0.01 --learning-rate-text 0.01"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)
    monkeypatch.setattr(prepare, "load_image_encoder", load_image_encoder)  # it is trained


@pytest.fixture
def learn(small):
    """`learn(*flags)`: the command on 40 photos of five classes."""
    return lambda *flags, dataset="pascal_sentences": train_towers.main(
        [*small(dataset), *LEARN.split(), *flags]
    )


def read(path) -> dict:
    return json.loads(Path(path).read_text())


def spaces() -> str:
    """What the cached features are said to be of."""
    return "".join(path.read_text() for path in Path("cache").glob("*/space.json"))


def test_towers_are_trained_and_make_the_features(learn, small):
    learn("--to", "towers/p", "--seed", "1")
    kept = {str(path.relative_to("towers/p")) for path in Path("towers/p").rglob("*.*")}
    assert {name for name in kept if "events" not in name} == {
        *("image/config.json", "image/metrics.json", "image/tower.json", "image/tower.weights.h5"),
        *("text/config.json", "text/metrics.json", "text/text_cnn.json"),
        *("text/text_cnn.weights.h5", "image/model.json", "text/model.json"),
    }
    found = {name: read(f"towers/p/{name}/metrics.json") for name in ("image", "text")}
    assert all(0 < each["validation"]["accuracy"] <= 1 for each in found.values())
    start, tower = (load_image_encoder("tiny", where) for where in ("random", "towers/p/image"))
    for ours, theirs in zip(tower.model.weights, start.model.weights, strict=True):
        assert np.abs(ours - theirs).max() > 1e-3

    extract_features.main([*small("pascal_sentences"), "--towers", "towers/p"])
    assert tower.weights_hash in spaces() and TextCNN.load("towers/p/text").fingerprint in spaces()

    quick = "--epochs 1 --batch-size 16 --hidden-units 8 --feature-dim 4 --relation-units 8".split()
    train.main(["drsl", *small("pascal_sentences"), "--towers", "towers/p", *quick])
    model = read("runs/drsl-pascal_sentences/model.json")
    assert [model["inputs"][kind]["shape"] for kind in ("image", "text")] == [[12], [300]]
    assert model["image_encoder"] == tower.fingerprint
    used = DataConfig(encoders=Path("towers/p")).with_trained_encoders()
    photos = load_dataset("pascal_sentences", small("pascal_sentences")[3])
    folders = [Path("towers/p/image").absolute(), Path("towers/p/text").absolute()]
    assert trained_on_labels(used, photos) == folders
    both = replace(used, image_weights="imagenet", text_encoder=f"tf_idf+{used.text_encoder}")
    assert trained_on_labels(both, photos) == folders[1:]


def test_several_classes_a_photo_and_one_tower_alone(learn, small):
    learn("--modality", "text", dataset="coco")
    assert [path.name for path in Path("towers/coco").iterdir()] == ["text"]
    assert 0 < read("towers/coco/text/metrics.json")["validation"]["class_map"] < 1
    flags = "--towers towers/coco --image-tower tiny --image-weights random".split()
    extract_features.main([*small("coco"), *flags])
    assert '"tiny"' in spaces()


@pytest.fixture
def learned(monkeypatch):
    """The training pairs of each training, in the order of the trainings."""
    made = []

    class Kept(encoder_training.Trainer):
        def __init__(self, learner, train, *args):
            made.append(train)
            super().__init__(learner, train, *args)

    monkeypatch.setattr(encoder_training, "Trainer", Kept)
    return made


def test_wrong_labels_are_those_of_a_method_with_the_same_seed(learn, small, learned):
    quick = "--epochs-image 1 --epochs-text 1 --seed 3 --label-noise 0.8 --captions joined".split()
    learn("--to", "towers/n", *quick)
    train = load_dataset("pascal_sentences", small("pascal_sentences")[3]).train
    expected = with_label_noise(train, 0.8, "symmetric", 3).labels
    assert (expected != train.labels).any(axis=1).mean() > 0.7
    for pairs in learned:
        np.testing.assert_array_equal(pairs.labels, expected)


def test_each_caption_is_a_training_text(learn, small, learned):
    learn("--to", "towers/e", *"--modality text --epochs-text 1 --captions each".split())
    train = load_dataset("pascal_sentences", small("pascal_sentences")[3]).train
    captions = sum(map(len, train.texts))
    assert captions > len(train) and len(learned[0]) == captions


def test_freeze_trains_the_fully_connected_layers_alone(learn):
    learn("--to", "t", "--modality", "image", "--freeze")
    start, tower = (load_image_encoder("tiny", where).model for where in ("random", "t/image"))
    assert np.array_equal(*(m.get_layer("convolution").kernel for m in (start, tower)))
    assert not np.allclose(*(m.get_layer("dense").kernel for m in (start, tower)), atol=1e-3)


def test_a_training_that_is_killed_goes_on(learn, small, monkeypatch, complaint, tmp_path):
    """Killed while it validates epoch 3, it ends as one that was not, crops and all."""
    learn("--modality", "image", "--to", "whole")
    measure, calls = EncoderClassifier.measure, []

    def killed(self, pairs):
        calls.append(pairs)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(self, pairs)

    monkeypatch.setattr(EncoderClassifier, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        learn("--modality", "image", "--to", "parts")
    keras.utils.set_random_seed(77)
    flags = ["--modality", "image", "--to", "parts"]
    taken = complaint(lambda _: learn(*flags))
    assert "--to parts/image holds a run already; add --resume or name another" in taken
    changed = complaint(lambda _: learn(*flags, "--resume", "--seed=3"))
    assert "begun with other settings (training.seed: 0 -> 3)" in changed
    learn(*flags, "--resume")
    for name in ("tower.json", "metrics.json"):
        assert read(f"parts/image/{name}") == read(f"whole/image/{name}")
    before = len(calls)
    learn(*flags, "--resume")  # Finished: nothing is trained again.
    assert len(calls) == before
    shutil.copytree(small("pascal_sentences")[3], tmp_path / "other", symlinks=True)
    captions = tmp_path / "other" / "pascal_sentences.json"
    captions.write_text(captions.read_text().replace(" a ", " the "))
    other = complaint(lambda _: learn(*flags, "--resume", "--data-dir", str(tmp_path / "other")))
    assert "begun with other pairs (hash of train" in other and "--data-dir" in other


def test_a_training_that_is_stopped_is_no_success(learn, monkeypatch, capsys):
    monkeypatch.setattr(encoder_training, "train_encoder", lambda *_: False)
    with pytest.raises(SystemExit) as exit:
        learn("--to", "t")
    assert exit.value.code == 143 and "Go on with the same flags" in capsys.readouterr().out


@pytest.fixture
def one_bad(small, tmp_path):
    """Flags that name the photos, one of which cannot be read."""
    shutil.copytree(small("pascal_sentences")[3], tmp_path / "photos", symlinks=True)
    bad = sorted((tmp_path / "photos/images").iterdir())[0]
    bad.unlink()
    bad.write_bytes(b"no photo")
    return ["--dataset", "pascal_sentences", "--data-dir", str(tmp_path / "photos"), "--to", "t"]


@pytest.mark.parametrize("captions", ["joined", "each"])
def test_both_towers_learn_the_same_wrong_labels_without_a_bad_photo(captions, one_bad, learned):
    flags = f"{LEARN} --epochs-image 1 --epochs-text 1 --label-noise 0.8 --seed 3"
    flags += f" --on-bad-image skip --captions {captions}"
    train_towers.main([*one_bad, *flags.split()])
    image, text = (dict(zip(each.ids, each.labels.tolist(), strict=True)) for each in learned)
    if captions == "each":
        text = {without_number(row): labels for row, labels in text.items()}
    assert len(image) == PHOTOS * 3 // 4 - 1 and text == image


def test_bad_photos_are_refused_or_left_out(one_bad, complaint, capsys):
    flags = [*one_bad, *LEARN.split(), "--modality", "image", "--epochs-image", "1"]
    assert "1 of 30 images are bad (row " in complaint(train_towers.main, *flags)
    assert not Path("t").exists()
    train_towers.main([*flags, "--on-bad-image", "skip"])
    assert f"image encoder: {PHOTOS * 3 // 4 - 1} training rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "dataset, flags, message",
    [
        ("flickr8k", "", "train split of flickr8k has no labels, and encoders learn by class"),
        ("wikipedia", "", "dataset wikipedia has ready features of them: give one with image fi"),
        (
            "coco",
            "--image-tower efficientnet_lite0 --freeze",
            "--freeze leaves nothing to train",
        ),
        ("coco", "--modality text --text-encoder hub:X", "encoder hub:X cannot be trained"),
        (
            "coco",
            "--modality text --text-mode static",
            "mode 'static' does not go with",
        ),
        (
            "coco",
            "--modality text --word-vectors gone.txt",
            "Cannot read word vectors from gone",
        ),
        ("coco", "--modality text --vocabulary-size 0", "at least 1; received 0"),
        ("coco", "--image-weights t", "holds no trained image encoder"),
        ("coco", "--epochs-image 0", "--epochs-image must be at least 1"),
        ("coco", "--encoders t", "--encoders t takes the place of what is trained here: leave"),
        ("coco", "--captions averaged", "--captions averaged is the mean of several texts' feat"),
    ],
)
def test_what_cannot_be_trained_is_told(learn, complaint, dataset, flags, message):
    Path("t").mkdir()
    assert message in complaint(lambda _: learn(*flags.split(), dataset=dataset))
    assert not Path("towers").exists()


def test_a_folder_without_towers_is_told(small, complaint):
    Path("empty").mkdir()
    told = complaint(extract_features.main, *small("coco"), "--towers", "empty")
    assert "--encoders empty holds no trained encoder: give the folder that" in told


def test_a_tower_without_weights_is_refused():
    tower = tiny_encoder()
    tower.model.trainable = False
    with pytest.raises(InputError, match="tiny has no weights that can be trained: take vgg19"):
        check_trainable(tower)
