"""Runs of the command in processes of their own, stopped in every way there is."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.test_experiment import results as without_clock
from tests.training.tiny import assert_bit_equal, checkpoint_tensors, make_pairs
from tfxmodal.commands import train

SCRIPT = Path(__file__).resolve().parents[2] / "trainers" / "train_scl.py"
FLAGS = (
    "--dataset features --data-dir data --epochs 12 --batch-size 16 --learning-rate 0.001 "
    "--hidden-units 16 --embedding-dim 8 --dropout 0.2 --alpha 0 --preset paper"
).split()

# The command, which draws nothing, and sends itself a signal in one of its validations.
RUN = """
import os, runpy, sys
from tfxmodal.training import experiment

number, validation, script = *map(int, sys.argv[1:3]), sys.argv[3]
evaluate_pairs, calls = experiment.evaluate_pairs, []

def stopped(*given):
    calls.append(1)
    if len(calls) == validation:
        os.kill(os.getpid(), number)
    return evaluate_pairs(*given)

experiment.evaluate_pairs, experiment.draw = stopped, lambda *_, **__: {}
sys.argv = sys.argv[3:]
runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture
def data(tmp_path):
    """A folder of ready features, under the current one."""
    (tmp_path / "data").mkdir()
    for split, n in (("train", 160), ("validation", 40), ("test", 40)):
        pairs = make_pairs(n, seed=n)
        for kind, array in (("img", pairs.images), ("txt", pairs.texts), ("lab", pairs.labels)):
            np.save(tmp_path / "data" / f"{split}_{kind}.npy", array)


def start(run_dir, *flags, number: int = 0, validation: int = 0):
    """A process of the command, which sends itself a signal in one of its validations."""
    words = [str(int(number)), str(validation), SCRIPT, *FLAGS, "--run-dir", run_dir, *flags]
    command = [sys.executable, "-c", RUN, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, code: int = 0):
    out, errors = process.communicate()
    assert process.returncode == code, errors
    return out


def results(run_dir) -> dict:
    """`metrics.json` but for what depends on the clock."""
    return without_clock(json.loads((run_dir / "metrics.json").read_text()))


def test_a_run_killed_and_stopped_ends_as_one_that_was_not(tmp_path, data, complaint):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    uninterrupted = start(whole)

    killed = start(parts, number=signal.SIGKILL, validation=3)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL and (parts / "last" / "checkpoint").exists()
    assert not (parts / "metrics.json").exists()

    out = finish(start(parts, "--resume", number=signal.SIGTERM, validation=4), code=143)
    assert "Resuming after epoch 2" in out
    assert f"Go on with: --run-dir {parts} --resume" in out
    assert not (parts / "metrics.json").exists()

    flags = [*FLAGS, "--run-dir", str(parts), "--resume", "--batch-size", "8"]
    message = complaint(train.main, "scl", *flags)
    assert "begun with other settings" in message
    assert "training.batch_size: 16 -> 8" in message

    assert "Resuming after epoch 6" in finish(start(parts, "--resume"))
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
