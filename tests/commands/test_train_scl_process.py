"""Runs of the command in processes of their own, stopped in every way there is."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.tiny import assert_bit_equal, checkpoint_tensors, make_pairs
from tfxmodal.commands import train

SCRIPT = Path(__file__).resolve().parents[2] / "trainers" / "train_scl.py"
FLAGS = (
    "--dataset features --data-dir data --epochs 12 --batch-size 16 --learning-rate 0.001 "
    "--hidden-units 16 --embedding-dim 8 --dropout 0.2 --alpha 0 --preset paper"
).split()


@pytest.fixture
def data(tmp_path):
    """A folder of ready features, under the current one."""
    (tmp_path / "data").mkdir()
    for split, n in (("train", 160), ("validation", 40), ("test", 40)):
        pairs = make_pairs(n, seed=n)
        for kind, array in (("img", pairs.images), ("txt", pairs.texts), ("lab", pairs.labels)):
            np.save(tmp_path / "data" / f"{split}_{kind}.npy", array)


def start(run_dir, *flags):
    command = [sys.executable, SCRIPT, *FLAGS, "--run-dir", run_dir, *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def newest(run_dir: Path) -> str:
    """The name of the last checkpoint, or nothing."""
    file = run_dir / "last" / "checkpoint"
    return file.read_text().splitlines()[0] if file.exists() else ""


def stop_in_training(process, run_dir, number):
    """Sends a signal once the run has gone on from where it was."""
    before = newest(run_dir)
    while newest(run_dir) == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    out, _ = process.communicate()
    return process.returncode, out


def finish(process):
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out


def results(run_dir) -> dict:
    """`metrics.json` but for what depends on the clock."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {name: metrics[name] for name in metrics.keys() - {"seconds", "pairs_per_second"}}


def test_a_run_killed_and_stopped_ends_as_one_that_was_not(tmp_path, data, complaint):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    uninterrupted = start(whole)

    code, _ = stop_in_training(start(parts), parts, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (parts / "metrics.json").exists()

    code, out = stop_in_training(start(parts, "--resume"), parts, signal.SIGTERM)
    assert code == 0
    assert f"Go on with: --run-dir {parts} --resume" in out
    assert not (parts / "metrics.json").exists()

    flags = [*FLAGS, "--run-dir", str(parts), "--resume", "--batch-size", "8"]
    message = complaint(train.main, "scl", *flags)
    assert "begun with other settings" in message
    assert "training.batch_size: 16 -> 8" in message

    assert "Resuming after epoch" in finish(start(parts, "--resume"))
    finish(uninterrupted)
    assert results(whole) == results(parts)
    for kind in ("best", "last"):
        assert_bit_equal(checkpoint_tensors(whole / kind), checkpoint_tensors(parts / kind))

    # Selection: the first epoch whose validation score is the best.
    log = EventAccumulator(str(whole / "logs"), size_guidance={"tensors": 0}).Reload()
    events = log.Tensors("validation/map_all/average")
    scores = [float(tf.make_ndarray(event.tensor_proto)) for event in events]
    metrics = results(whole)
    assert len(scores) == metrics["epochs"] == 12
    assert metrics["selected_epoch"] == events[int(np.argmax(scores))].step
    assert metrics["validation"]["map_all"]["average"] == pytest.approx(max(scores), abs=1e-6)
