"""The workers of test_workers.py, all of them: `python -m tests.training.worker FOLDER`.

They are forked from one process that has imported TensorFlow, which takes most of their time.
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np

from tests.training.norms import not_measured
from tests.training.test_experiment import dataset, settings
from tests.training.tiny import weights, with_sgd
from tfxmodal.commands import cli
from tfxmodal.errors import InputError
from tfxmodal.io.reporter import Reporter
from tfxmodal.methods.gradient.drsl import DRSL, DRSLConfig
from tfxmodal.serving.model_server import free_ports
from tfxmodal.training import experiment
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.interrupts import asking, stop_signals
from tfxmodal.training.workers import Workers, begin

MULTI = {"strategy": "multi_worker"}
BATCH = {"batch_size": 12}  # For two workers and for three.
RUN = MULTI | BATCH | {"epochs": 4, "dropout": 0.0}
IN_STAGES = RUN | {"epochs": 2}
"""Of dual_path: two epochs of either stage."""


def numbers(strategy, folder: Path) -> dict[str, np.ndarray]:
    """Of DRSL by SGD: losses and norms of gradients, and by how much each weight has moved."""
    config = DRSLConfig((8,), feature_dim=4, relation_units=8)
    method, trainer = with_sgd(DRSL, config, folder, strategy, **BATCH, feed="stream")
    start, found = weights(method), {}
    for report in trainer.epochs(lambda: (0.0, {})):
        values = report.losses | {f"norm {k}": v for k, v in report.gradient_norms.items()}
        found |= {f"{report.epoch} {k}": np.array(v) for k, v in values.items()}
    ends = zip(start, weights(method), strict=True)
    return found | {f"moved {i}": end - before for i, (before, end) in enumerate(ends)}


def steps(folder: Path):
    """The numbers, of three workers."""
    workers = begin(TrainingConfig(**MULTI))
    found = numbers(workers.strategy, folder / "numbers")
    np.savez(folder / f"numbers-{workers.index}.npz", **found)


def train(folder: Path):
    """A run by Adam, and the same run until worker 1 is killed."""
    os.chdir(folder)
    run_experiment(settings("scl", **RUN), dataset=dataset())
    workers, asked = begin(TrainingConfig(**MULTI)), []

    def killed() -> bool:
        asked.append(1)
        if workers.index == 1 and len(asked) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    run_experiment(settings("scl", **RUN), Path("parts"), dataset=dataset(), stop_asked=killed)


class Killed(Reporter):
    """Kills the chief, which alone is told of epochs, after the first one of the second stage."""

    def epoch(self, report):
        """Ends this process at once."""
        if report.stage == "ranking":
            os.kill(os.getpid(), signal.SIGKILL)


def go_on(folder: Path):
    """Checks between workers; the run goes on to its end, and one in stages until 0 is killed."""
    os.chdir(folder)
    with stop_signals() as asked, asking():
        workers = begin(TrainingConfig(**MULTI))
        if workers.index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        told = [refusal(workers, {"training.seed": workers.index}), unseen(workers)]
        told += [workers.any(asked() == signal.SIGTERM), workers.any(False)]
    Path(f"told-{workers.index}.json").write_text(json.dumps(told))
    run_experiment(settings("scl", **RUN), Path("parts"), True, dataset())
    given = settings("dual_path", **IN_STAGES)
    run_experiment(given, Path("stages"), dataset=dataset(), reporter=Killed())


def end(folder: Path):
    """The run in stages goes on to its end."""
    os.chdir(folder)
    run_experiment(settings("dual_path", **IN_STAGES), Path("stages"), True, dataset())


def refusal(workers: Workers, mine: dict) -> str | None:
    try:
        workers.check_same("flags", lambda: mine, "start them alike")
    except InputError as error:
        return str(error)


def unseen(workers: Workers) -> str | None:
    try:
        folder = Path("parts" if workers.is_chief else "elsewhere")
        workers.check_sees(folder / "config.json", "run_dir", within=0)
    except InputError as error:
        return str(error)


def start(part, folder: Path, count: int) -> list[int]:
    """The exit codes of some workers; of each what it says is in PART-NUMBER.txt."""
    folder.mkdir(exist_ok=True)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=run, args=(part, folder, addresses, i)) for i in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def run(part, folder: Path, addresses: list[str], index: int):
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    os.environ["TF_CONFIG"] = json.dumps(task)
    with open(folder / f"{part.__name__}-{index}.txt", "w") as file:
        os.dup2(file.fileno(), 2)
        cli.run(lambda: part(folder))


if __name__ == "__main__":
    experiment.draw = lambda *_, **__: {}  # As in the tests' own process, figures take too long.
    folder, sys.argv[0] = Path(sys.argv[1]), "worker"
    with not_measured():
        codes = {part.__name__: start(part, folder / "two", 2) for part in (train, go_on, end)}
    codes["steps"] = start(steps, folder / "three", 3)
    (folder / "codes.json").write_text(json.dumps(codes))
