"""DRSL by its command, where it differs from SCL's: sets that are not paired."""

import json
from pathlib import Path

import numpy as np

from tests.data.datasets.test_features import unpaired, write_npy
from tfxmodal.commands import train
from tfxmodal.methods.gradient.drsl import DRSLConfig
from tfxmodal.training.settings import Settings

QUICK = (
    "--preset paper --epochs 2 --batch-size 8 --hidden-units 8 --feature-dim 4 --relation-units 8"
).split()


def test_sets_of_different_sizes_are_trained_on_and_refused_where_pairs_are_needed(
    tmp_path, complaint
):
    folder = tmp_path / "data"
    folder.mkdir()
    flags = ["--dataset", "features", "--data-dir", str(write_npy(folder, unpaired()))]
    train.main(["drsl", *flags, *QUICK])
    metrics = json.loads(Path("runs/drsl-features/metrics.json").read_text())
    assert metrics["epochs"] == 2 and np.isfinite(metrics["test"]["map_all"]["average"])
    told = complaint(train.main, "scl", *flags)
    assert "scl learns from pairs" in told and "20 images, 31 texts" in told


def test_defaults_are_section_3_4s():
    networks = {
        name: Settings.for_dataset("drsl", name).config
        for name in ("wikipedia", "nus_wide_10k", "pascal_sentences", "xmedianet")
    }
    assert networks["wikipedia"] == networks["nus_wide_10k"] == DRSLConfig()
    assert networks["pascal_sentences"] == DRSLConfig(hidden_units=())
    assert networks["xmedianet"] == DRSLConfig(hidden_units=(1024, 1024), encoder_batch_norm=True)
    assert Settings.for_dataset("drsl", "wikipedia").training.batch_size == 200
