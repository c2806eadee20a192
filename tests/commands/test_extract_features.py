import json
from pathlib import Path

import numpy as np
import pytest

from tests.runs import QUICK
from tfxmodal.commands import extract_features
from tfxmodal.data import load_dataset
from tfxmodal.inputs import prepare
from tfxmodal.inputs.cache import ShardedFeatures

TOWER = QUICK[:4]


def test_features_are_exported_as_a_dataset(small, cache_dir, capsys):
    flags = [*small("coco"), *TOWER, "--cache-dir", str(cache_dir)]
    extract_features.main([*flags, "--export", "out/coco"])
    told = capsys.readouterr().out
    assert "1,280" in told and "--dataset features --data-dir out/coco" in told
    source, features = load_dataset("coco", small("coco")[3]), load_dataset("features", "out/coco")
    for (name, ours), (_, theirs) in zip(features.splits(), source.splits(), strict=True):
        assert ours.images.shape == (len(theirs), 1280) and ours.texts.shape == (len(theirs), 200)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        (cached,) = cache_dir.glob(f"coco-{name}-images-*")
        np.testing.assert_array_equal(ours.images, ShardedFeatures(cached)[:])


def test_they_are_computed_once(small, tmp_path, monkeypatch):
    flags = [*small("pascal_sentences"), *TOWER]
    computed = []
    extract = prepare.extract

    def counted(tower, images):
        computed.append(len(images))
        return extract(tower, images)

    monkeypatch.setattr(prepare, "extract", counted)
    extract_features.main(flags)
    assert sum(computed) == 40
    extract_features.main(flags)
    assert sum(computed) == 40
    (lost,) = Path("cache").glob("pascal_sentences-test-images-*/shard_00000.npy")
    lost.unlink()
    extract_features.main(flags)
    assert sum(computed) == 45


def test_a_killed_extraction_goes_on(small, monkeypatch):
    """The training split is done when the command dies in the validation split."""
    flags = [*small("pascal_sentences"), *TOWER]
    extract, rows = prepare.extract, []

    def dies_late(tower, images):
        rows.append(len(images))
        if len(rows) == 2:
            raise KeyboardInterrupt
        return extract(tower, images)

    monkeypatch.setattr(prepare, "extract", dies_late)
    with pytest.raises(KeyboardInterrupt):
        extract_features.main(flags)
    extract_features.main(flags)
    assert rows == [30, 5, 5, 5]
    finished = [json.loads(path.read_text()) for path in Path("cache").glob("*/manifest.json")]
    assert len(finished) == 6 and all(manifest["finished"] for manifest in finished)


def test_a_folder_that_is_taken_is_told_before_the_work(small, complaint, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    told = complaint(extract_features.main, *small("coco"), "--export", "mine")
    assert told.endswith("mine is there already and not empty: name a new folder.")
    assert not Path("cache").exists()


def test_ready_features_need_nothing(small, capsys):
    extract_features.main([*small("wikipedia")])
    told = capsys.readouterr().out
    assert "2,173" in told and "came as features" in told
    assert not Path("cache").exists()
