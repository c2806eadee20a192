"""The workers of a training: processes on one or several machines that train one run together.

Every worker runs the same command. Variables are the same on all of them, and each computes the
gradients of its own rows. The chief, the first worker, decides what depends on a clock, a file or a
validation score, and tells the others: else they would not make the same steps.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tfxmodal.errors import InputError, first_line
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.lazy import keras, tf
from tfxmodal.training.cluster import Task, task_of
from tfxmodal.training.config import FitConfig, TrainingConfig
from tfxmodal.training.interrupts import unheard

TASK = r"/job:(\w+)/(?:replica:0/)?task:(\d+)"
"""How TensorFlow names a worker."""

SEEN_WITHIN = 60.0
"""Seconds after which a file of the chief must be seen by all: network storage takes some."""


class WorkerLost(InputError):
    """Another worker has ended or cannot be reached, so that this one cannot go on."""


class Workers:
    """This worker among those of a strategy; of most strategies it is the only one.

    Args:
        strategy: Where the training runs.

    Attributes:
        strategy: That one, where it has several workers or is to have them; else None.
        index: Number of this worker, from 0, the chief.
        count: How many there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.strategy = strategy if several else None
        task = task_of(os.environ) if several else Task()
        self.index, self.count = task.index, len(task.addresses)
        self._names = list(task.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that decides, and writes files."""
        return self.index == 0

    def from_chief(self, make: Callable[[], Any]) -> Any:
        """What `make` gives on the chief, which JSON can hold, on every worker.

        The others do not call it. They wait, however long it takes.
        """
        if self.count == 1:
            return make()
        value = make() if self.is_chief else None
        text = json.dumps(value).encode() if self.is_chief else b""
        codes = np.zeros(self._sum(np.int32(len(text))), np.int32)
        codes[: len(text)] = list(text)
        codes = self._sum(codes)
        return value if self.is_chief else json.loads(bytes(codes.tolist()))

    def any(self, here: bool) -> bool:
        """Whether it is so on any worker; each waits for all."""
        return here if self.count == 1 else bool(self._sum(np.int32(here)))

    def wait(self):
        """Waits until all workers are here."""
        self.any(False)

    def take_chiefs(self, variables: Iterable[keras.Variable]):
        """Gives float variables the chief's values.

        What is computed from data before the training, by one program on machines of two kinds, may
        differ by rounding or by the sign of a vector.
        """
        for variable in variables if self.count > 1 else ():
            if tf.as_dtype(variable.dtype).is_floating:
                value = np.asarray(variable)
                variable.assign(self._sum(value if self.is_chief else np.zeros_like(value)))

    def check_same(self, what: str, mine: Callable[[], dict[str, Any]], remedy: str):
        """Checks that all workers have the same of something, such as settings or data.

        Args:
            what: What it is, for people.
            mine: Gives this worker's, by name; JSON can hold it.
            remedy: What to do where they differ.

        Raises:
            InputError: If this worker has another than the chief.
        """
        if self.count == 1:
            return
        here = json.loads(json.dumps(mine()))
        there = self.from_chief(lambda: here)
        other = [name for name in there if here.get(name) != there[name]]
        if other:
            told = "; ".join(
                f"{name}: {there[name]} there, {here.get(name)} here" for name in other
            )
            raise InputError(
                f"Worker {self.index} has other {what} than worker 0 ({told[:500]}): {remedy}."
            )

    def check_sees(self, file: Path, argument: str, within: float = SEEN_WITHIN):
        """Checks that this worker sees a file that the chief holds.

        Raises:
            InputError: If it does not within so many seconds.
        """
        text, until = self.from_chief(file.read_text), time.monotonic() + within
        while not (file.is_file() and file.read_text() == text):
            if time.monotonic() > until:
                raise InputError(
                    f"Worker {self.index} does not see in `{argument}` {file.parent} what worker 0 "
                    "wrote there: give a folder on storage that all share, by the same path."
                )
            time.sleep(0.2)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tells in one sentence that another worker is gone, where work inside finds it out.

        Raises:
            WorkerLost: Then.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.count == 1 or not isinstance(error, _gone()):
                raise
            raise WorkerLost(
                f"Worker {self.index} of {self.count} cannot go on, since {self._named(error)} has "
                "ended or cannot be reached: see what it said last, and start all workers again, "
                "with `resume`."
            ) from error

    def _named(self, error: Exception) -> str:
        """The other worker that an error names, or the only other one."""
        others = [name for name in self._names if name != self._names[self.index]]
        told = [f"{job}:{index}" for job, index in re.findall(TASK, str(error))]
        named = others if len(others) == 1 else [name for name in told if name in others]
        return f"worker {self._names.index(named[0])}" if named else "another one"

    def _sum(self, value: np.ndarray) -> np.ndarray:
        """The sum over the workers."""
        value = tf.constant(value)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None).numpy()


def begin(training: TrainingConfig | FitConfig, reporter: Reporter = SILENT) -> Workers:
    """Joins the workers of a training; call it before TensorFlow computes anything.

    TensorFlow waits for the others for up to an hour.

    Args:
        training: How it trains; what is fitted in closed form has one worker.
        reporter: Is told for whom it waits.

    Raises:
        InputError: If TF_CONFIG does not go with the strategy, or the others cannot be joined.
    """
    strategy = getattr(training, "strategy", None)
    if strategy == "multi_worker":
        if not _multi_worker.cache_info().currsize:
            task = task_of(os.environ)
            all_of = ", ".join(task.addresses.values())
            reporter.say(f"Worker {task.index}; the training begins once all are there: {all_of}")
        return Workers(_multi_worker())
    if os.environ.get("TF_CONFIG") and (count := len(task_of(os.environ).addresses)) > 1:
        remedy = "give `strategy` multi_worker, or unset TF_CONFIG" if strategy else "unset it"
        raise InputError(
            f"TF_CONFIG names {count} workers, and this training is for one machine: {remedy}."
        )
    return Workers()


@cache
def _multi_worker() -> tf.distribute.MultiWorkerMirroredStrategy:
    """The one strategy of this process: TensorFlow joins a cluster once."""
    task = task_of(os.environ)
    try:
        with unheard():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(
            "`strategy` multi_worker must come before TensorFlow computes anything in a process "
            f"({first_line(error)}): start a new process for the training."
        ) from error
    except tf.errors.OpError as error:
        raise InputError(
            f"Worker {task.index} cannot join the others of {', '.join(task.addresses.values())} "
            f"({first_line(error)[:200]}): start all that TF_CONFIG names, on machines that reach "
            "each other, and give each a free port."
        ) from error


def _gone() -> tuple[type[Exception], ...]:
    """What TensorFlow raises on a worker where another one is gone."""
    errors = tf.errors
    return (
        errors.UnavailableError,
        errors.AbortedError,
        errors.CancelledError,
        errors.DeadlineExceededError,
    )
