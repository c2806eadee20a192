"""Several workers on the loopback: one worker's numbers, and what happens when one is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training import worker
from tests.training.test_experiment import dataset, results, settings
from tests.training.tiny import assert_bit_equal, checkpoint_tensors
from tfxmodal.commands import train
from tfxmodal.errors import InputError
from tfxmodal.training.cluster import task_of
from tfxmodal.training.config import FitConfig, TrainingConfig
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.workers import Workers, begin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The folder of all that two and three workers did, and their exit codes."""
    folder = tmp_path_factory.mktemp("several")
    command = [sys.executable, "-m", "tests.training.worker", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=1800)
    return folder, json.loads((folder / "codes.json").read_text())


@pytest.mark.usefixtures("gradient_norms")
def test_three_workers_compute_the_numbers_of_one(several, tmp_path):
    one = worker.numbers(make_strategy("CPU:0"), tmp_path)
    for index in range(3):
        found = np.load(several[0] / "three" / f"numbers-{index}.npz")
        assert found.files == list(one)
        for each in found.files:
            np.testing.assert_allclose(found[each], one[each], rtol=1e-5, atol=1e-6, err_msg=each)
    assert all(np.abs(value).max() > 1e-4 for each, value in one.items() if "moved" in each)


def assert_one_workers(run: Path, method: str, values: dict, folder: Path):
    """Asserts that metrics and weights of a run are those that one worker reaches."""
    given = settings(method, **values | {"strategy": "mirrored"})
    expected = run_experiment(given, folder, dataset=dataset()).metrics
    ours = json.loads((run / "metrics.json").read_text())
    assert flat(results(ours)) == pytest.approx(flat(results(expected)), rel=1e-5)
    weights, others = (checkpoint_tensors(each / "best") for each in (run, folder))
    assert weights.keys() == others.keys()
    for name in weights:
        np.testing.assert_allclose(weights[name], others[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_run_by_adam_is_that_of_one_worker(several, tmp_path):
    run = several[0] / "two" / "runs" / "scl-features"
    assert_one_workers(run, "scl", worker.RUN, tmp_path / "run")
    assert [path.name for path in run.parent.iterdir()] == [run.name]  # The chief's alone.
    assert len(list((run / "logs").glob("*.v2"))) == 1


def test_a_run_in_stages_that_lost_its_chief_is_that_of_one_worker(several, tmp_path):
    assert_one_workers(several[0] / "two/stages", "dual_path", worker.IN_STAGES, tmp_path / "run")


def flat(value, path: str = "") -> dict:
    """The numbers of nested dicts, with their paths."""
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for name, inner in value.items() for k, v in flat(inner, f"{path}/{name}").items()}


def test_a_killed_worker_ends_the_other_with_a_sentence(several):
    folder, codes = several
    killed = -signal.SIGKILL
    ended = {"train": [2, killed], "go_on": [killed, 2], "end": [0, 0], "steps": [0, 0, 0]}
    assert codes == ended
    for part, other in (("train", 0), ("go_on", 1)):
        said = (folder / "two" / f"{part}-{other}.txt").read_text()
        assert (
            f"worker: Worker {other} of 2 cannot go on, since worker {1 - other} has ended or "
            "cannot be reached: see what it said last, and start all workers again, with `resume`."
        ) in said.splitlines()
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("count", "told", "named"),
    [
        (2, "Socket closed", "worker 0"),
        (3, "Socket closed", "another one"),
        (3, "from /job:worker/task:1, while calling /job:worker/replica:0/task:2", "worker 2"),
    ],
)
def test_the_worker_that_is_gone_is_named(count, told, named):
    workers = Workers()
    workers.index, workers._names = 1, [f"worker:{index}" for index in range(count)]
    assert workers._named(tf.errors.UnavailableError(None, None, told)) == named


def test_a_run_that_was_killed_ends_as_one_that_was_not(several):
    whole, parts = (several[0] / "two" / name for name in ("runs/scl-features", "parts"))
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (whole, parts)]
    assert results(metrics[0]) == results(metrics[1])
    for kind in ("best", "last"):
        assert_bit_equal(checkpoint_tensors(whole / kind), checkpoint_tensors(parts / kind))
    logs = EventAccumulator(str(parts / "logs"), size_guidance={"tensors": 0}).Reload()
    assert len({event.step for event in logs.Tensors("loss/total")}) == worker.RUN["epochs"]


def test_workers_that_differ_are_told_and_one_with_a_signal_is_heard(several):
    first, second = (
        json.loads((several[0] / "two" / f"told-{index}.json").read_text()) for index in range(2)
    )
    assert first == [None, None, True, False]
    flags, folder, *asked = second
    assert asked == [True, False]
    assert flags == (
        "Worker 1 has other flags than worker 0 (training.seed: 0 there, 1 here): start them alike."
    )
    assert folder == (
        "Worker 1 does not see in `run_dir` elsewhere what worker 0 wrote there: give a folder on "
        "storage that all share, by the same path."
    )


# --- TF_CONFIG ----------------------------------------------------------------------------

ADDRESSES = ["a:1", "b:2", "c:3"]


def config(cluster, **task) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.parametrize(
    ("environment", "index", "addresses"),
    [
        (config({"worker": ADDRESSES}, type="worker", index=2), 2, ADDRESSES),
        (config({"worker": ["a:1"]}, type="worker", index="0"), 0, ["a:1"]),
        (config({"worker": ["b:2"], "chief": ["a:1"]}, type="worker", index=0), 1, ["a:1", "b:2"]),
        (config({"worker": ["b:2"], "chief": ["a:1"]}, type="chief", index=0), 0, ["a:1", "b:2"]),
    ],
)
def test_tf_config_gives_a_worker_its_place(environment, index, addresses):
    task = task_of(environment)
    assert (task.index, list(task.addresses.values())) == (index, addresses)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[worker", "is no JSON"),
        ("3", "names no cluster"),
        ("{}", "names no cluster"),
        (config({"worker": ["a"]}, type="worker", index=0), r"gives \['a'\] for worker"),
        (config({"worker": "a:1"}, type="worker", index=0), "gives 'a:1' for worker"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}, type="worker", index=0), "tasks of type ps"),
        (config({"worker": ["a:1", "a:1"]}, type="worker", index=0), "an address twice"),
        (config({"worker": ["a:1"]}, type="worker", index=1), "the task .* not in its cluster"),
        (config({"worker": ["a:1"]}, type="worker"), "the task .* not in its cluster"),
    ],
)
def test_a_malformed_tf_config_is_told(text, reason):
    environment = text if isinstance(text, dict) else {"TF_CONFIG": text}
    with pytest.raises(
        InputError, match=rf"TF_CONFIG '.*' .*{reason}.*: write it as in TF_CONFIG='"
    ):
        task_of(environment)


def test_a_missing_tf_config_is_told(monkeypatch, tmp_path):
    given = settings("scl", strategy="multi_worker")
    message = "`strategy` multi_worker reads .* TF_CONFIG, and it is not set: set it for each .*'{"
    with pytest.raises(InputError, match=message):
        run_experiment(given, tmp_path / "run", dataset=dataset())
    monkeypatch.setenv(*config({"worker": ["a:1"]}, type="worker", index=0).popitem())
    tf.constant(0)  # Something is computed. Else it would wait for the worker of that address.
    with pytest.raises(InputError, match="must come before TensorFlow computes anything"):
        run_experiment(given, tmp_path / "run", dataset=dataset())


@pytest.mark.parametrize(
    ("training", "remedy"),
    [
        (TrainingConfig(), "give `strategy` multi_worker, or unset TF_CONFIG"),
        (FitConfig(), "unset"),
    ],
)
def test_a_tf_config_of_several_is_not_overlooked(training, remedy, monkeypatch):
    monkeypatch.setenv(*config({"worker": ADDRESSES}, type="worker", index=0).popitem())
    with pytest.raises(InputError, match=f"names 3 workers, .* for one machine: {remedy}"):
        begin(training)


@pytest.mark.parametrize("method", ["pls", "auto"])
def test_what_is_fitted_has_no_strategy(method, complaint):
    told = complaint(train.main, method, "--strategy", "multi_worker")
    assert f", and {method} has no use for more than one machine: leave it out." in told
