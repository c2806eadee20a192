import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.encoders.image.tiny import tiny_encoder
from tests.runs import QUICK
from tfxmodal.commands import extract_features
from tfxmodal.data import load_dataset
from tfxmodal.encoders.image import IMAGE_ENCODERS, Extractor, load_image_encoder
from tfxmodal.inputs import prepare
from tfxmodal.inputs.features import image_features

ENCODER = QUICK[:4]


def test_features_are_exported_as_a_dataset(small, cache_dir, capsys):
    flags = [*small("coco"), *ENCODER, "--cache-dir", str(cache_dir)]
    extract_features.main([*flags, "--export", "out/coco"])
    told = capsys.readouterr().out
    assert "1,280" in told and "--dataset features --data-dir out/coco" in told
    source, exported = load_dataset("coco", small("coco")[3]), load_dataset("features", "out/coco")
    for (_, ours), (_, theirs) in zip(exported.splits(), source.splits(), strict=True):
        assert ours.images.shape == (len(theirs), 1280) and ours.texts.shape == (len(theirs), 200)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        cached = image_features(
            prepare.load_image_encoder("efficientnet_lite0"), theirs.images, cache_dir
        )
        np.testing.assert_array_equal(ours.images, cached[:])


@pytest.fixture
def computed(monkeypatch):
    """How many pictures were encoded at a time; the command dies at the call `computed.dies_at`."""

    class Counts(list):
        dies_at = None

    counts, encode = Counts(), Extractor.__call__

    def counted(extractor, images):
        counts.append(len(images))
        if len(counts) == counts.dies_at:
            raise KeyboardInterrupt
        return encode(extractor, images)

    monkeypatch.setattr(Extractor, "__call__", counted)
    return counts


def test_they_are_computed_once(small, computed):
    flags = [*small("pascal_sentences"), *ENCODER]
    extract_features.main(flags)
    assert sum(computed) == 40
    extract_features.main(flags)
    assert sum(computed) == 40
    (lost,) = Path("cache").glob("efficientnet_lite0-global-*/shard_00000.npy")
    rows = len(np.load(lost))
    lost.unlink()
    extract_features.main(flags)
    assert sum(computed) == 40 + rows


def test_a_dataset_that_holds_photos_of_another_shares_their_features(small, computed):
    extract_features.main([*small("pascal_sentences"), *ENCODER])
    extract_features.main([*small("pairs"), *ENCODER])  # the same photos by a manifest
    assert sum(computed) == 40


def test_a_killed_extraction_goes_on(small, computed):
    """The training split is done when the command dies in the validation split."""
    flags = [*small("pascal_sentences"), *ENCODER]
    computed.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        extract_features.main(flags)
    extract_features.main(flags)
    assert computed == [30, 5, 5, 5]


def test_a_folder_that_is_taken_is_told_before_the_work(small, complaint, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    told = complaint(extract_features.main, *small("coco"), "--export", "mine")
    assert told.endswith("mine is there already and not empty: name a new folder.")
    assert not Path("cache").exists()


def test_wrong_labels_are_refused_before_the_work(small, complaint):
    told = complaint(extract_features.main, *small("coco"), "--label-noise", "0.4")
    assert "--label-noise 0.4 changes labels, not features: leave it out" in told
    assert not Path("cache").exists()


def test_ready_features_need_nothing(small, capsys):
    extract_features.main([*small("wikipedia")])
    told = capsys.readouterr().out
    assert "2,173" in told and "came as features" in told
    assert not Path("cache").exists()


def test_photos_with_several_captions_are_counted_once(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(IMAGE_ENCODERS, "tiny", tiny_encoder)
    monkeypatch.setattr(prepare, "load_image_encoder", load_image_encoder)
    rows = []
    for number, split in enumerate(["train"] * 4 + ["validation", "test"]):
        Image.new("RGB", (24, 24), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "texts": ["one dog", "a dog"], "split": split})
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--dataset", "pairs", "--data-dir", str(tmp_path / "pairs.jsonl")]
    flags += ["--image-encoder", "tiny", "--image-weights", "random", "--on-bad-image", "skip"]
    for captions, folder in (("each", "cache/texts-"), ("averaged", "means of captions")):
        extract_features.main([*flags, "--captions", captions])
        lines = [line.split("│") for line in capsys.readouterr().out.splitlines()]
        images, texts = [[*map(str.strip, each[1:-1])] for each in lines if len(each) > 2][:2]
        assert images[:5] == ["train", "images", "3", "12", "1"]
        assert images[5].startswith("cache/tiny-global-") and texts[5].startswith(folder)
