"""What `--enable_batching` does: rows of concurrent callers run as one batch.

After TensorFlow Serving's BatchingSession: inputs are concatenated along dimension 0, padded to an
allowed size, run once, and the outputs split. Requests of a signature for all of its outputs meet;
one for some of them is run by itself. One of no rows is never answered.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_text
from tfxmodal.lazy import tf
from tfxmodal.serving.verification.served_model import NeverAnswered

NUMBERS = (
    "max_batch_size|batch_timeout_micros|max_enqueued_batches|num_batch_threads|"
    "max_execution_batch_size|allowed_batch_sizes"
)
OTHERS = "thread_pool_name|pad_variable_length_inputs|enable_large_batch_splitting"
"""Of TensorFlow Serving's BatchingParameters, whose definition its Python package lacks."""

FIELD = (
    rf"\b(?:({NUMBERS})\s*(?::?\s*\{{\s*value\s*:\s*(\d+)\s*\}}|:\s*(\d+)\b)|"
    rf"(?:{OTHERS})\s*(?::?\s*\{{\s*value\s*:\s*\S+?\s*\}}|:\s*\S+))"
)


@dataclass(frozen=True)
class Batching:
    """The parameters of `--batching_parameters_file` that decide results."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    allowed_batch_sizes: tuple[int, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Batching:
        """Reads a batching parameters file.

        Raises:
            InputError: If it cannot be read or holds anything else, or its last allowed size is not
                its largest batch.
        """
        text = re.sub("#.*", "", read_text(path))
        if wrong := re.sub(FIELD, "", text).strip():
            raise InputError(f"{path} holds {wrong[:40]!r}, which is no batching parameter.")
        numbers = [
            (name, int(value or plain)) for name, value, plain in re.findall(FIELD, text) if name
        ]
        sizes = tuple(number for name, number in numbers if name == "allowed_batch_sizes")
        known = {name: number for name, number in numbers if name in cls.__dataclass_fields__}
        batching = cls(**known | {"allowed_batch_sizes": sizes})
        if sizes and sizes[-1] != batching.max_batch_size:
            raise InputError(
                f"The last allowed_batch_sizes in {path} is {sizes[-1]}, max_batch_size is "
                f"{batching.max_batch_size}: make them equal."
            )
        return batching


class Batcher:
    """A `run` for many threads, of which the first to come runs the rows of all who wait."""

    def __init__(self, run, batching: Batching):
        self._run, self._batching = run, batching
        self._waiting, self._turn = deque(), threading.Lock()

    def __call__(self, feeds: list[np.ndarray]) -> list[np.ndarray]:
        """As `run`, on arrays of equal dimension 0.

        Raises:
            NeverAnswered: If they have no rows: TensorFlow Serving waits for ever.
            tf.errors.OpError: If they cannot be run, or others of the batch are at fault.
        """
        result, rows = Future(), _rows(feeds, self._batching.max_batch_size)
        if not rows:
            raise NeverAnswered
        self._waiting.append((feeds, rows, result))
        while not result.done():
            with self._turn:
                if not result.done():
                    time.sleep(self._batching.batch_timeout_micros / 1e6)
                    self._run_batch(self._next_batch())
        return result.result()

    def _next_batch(self) -> list[tuple]:
        batch = [self._waiting.popleft()]
        total = batch[0][1]
        while self._waiting and total + self._waiting[0][1] <= self._batching.max_batch_size:
            batch.append(self._waiting.popleft())
            total += batch[-1][1]
        return batch

    def _run_batch(self, batch: list[tuple]):
        all_feeds, sizes, results = zip(*batch, strict=True)
        try:
            outputs = self._run_rows(all_feeds, sum(sizes))
        except Exception as error:  # Whoever shares a batch shares its failure.
            for result in results:
                result.set_exception(error)
            return
        ends = np.cumsum(sizes)[:-1]
        for result, *parts in zip(results, *(np.split(o, ends) for o in outputs), strict=True):
            result.set_result(parts)

    def _run_rows(self, all_feeds: tuple[list[np.ndarray], ...], rows: int) -> list[np.ndarray]:
        padded = min((s for s in self._batching.allowed_batch_sizes if s >= rows), default=rows)
        columns = [*zip(*all_feeds, strict=True)]
        if any(len({part.shape[1:] for part in parts}) > 1 for parts in columns):
            raise tf.errors.FailedPreconditionError(
                None,
                None,
                "Tensors from different tasks have different shapes and padding is turned off.",
            )
        feeds = [np.concatenate(parts) for parts in columns]
        feeds = [np.concatenate([f, np.repeat(f[:1], padded - rows, axis=0)]) for f in feeds]
        outputs = self._run(feeds)
        for output in outputs:
            if not output.ndim or len(output) != len(feeds[0]):
                raise tf.errors.FailedPreconditionError(
                    None,
                    None,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors",
                )
        return [output[:rows] for output in outputs]


def _rows(feeds: list[np.ndarray], most: int) -> int:
    """Dimension 0, the same for all."""
    why = None
    if not all(feed.ndim for feed in feeds):
        why = "Batching Run() input tensors must have at least one dimension"
    elif len({len(feed) for feed in feeds}) > 1:
        why = "Batching Run() input tensors must have equal 0th-dimension size"
    elif len(feeds[0]) > most:
        why = f"Task size {len(feeds[0])} is larger than maximum input batch size {most}"
    if why:
        raise tf.errors.InvalidArgumentError(None, None, why)
    return len(feeds[0])
