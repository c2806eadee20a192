"""Which rows each step sees, and how they reach the devices: from memory or streamed from disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.io.datasets import untuned
from tfxmodal.lazy import keras, tf
from tfxmodal.training.workers import Workers

Rows = dict[str, np.ndarray]


def epoch_rows(
    streams: Rows,
    batch_size: int,
    replicas: int,
    seed: int,
    epoch: int,
    owners: np.ndarray | None = None,
) -> Rows:
    """The rows of every step of one epoch: a function of its arguments alone, so a run can resume.

    An epoch goes once over the first stream, shuffled, without the last partial batch. The other
    streams are shuffled and repeated until they fill as many steps. A stream smaller than the batch
    gives batches of its own size.

    Rows that repeat an image go in rounds, each image once a round: losses take the other rows of a
    batch as wrong partners, which another caption of the same image is not.

    Args:
        streams: Row numbers by stream.
        batch_size: Pairs in a global batch.
        replicas: Number of replicas that share it.
        seed: The run's seed.
        epoch: The epoch's number.
        owners: `[n]`, the first row with the image of each row, where rows repeat images.

    Returns:
        Of each stream `[steps, replicas, rows per replica]` int32.

    Raises:
        InputError: If a stream's batch has less than a row a replica.
    """
    steps = None
    plan = {}
    for number, (name, rows) in enumerate(streams.items()):
        size = min(batch_size, len(rows)) // replicas * replicas
        if size <= 0:
            raise InputError(
                f"Each of {replicas} replica(s) needs a row of every batch; received `batch_size` "
                f"{batch_size} and {len(rows)} {name} rows: raise `batch_size` or give more pairs."
            )
        steps = steps or len(rows) // size
        random = np.random.default_rng([seed, epoch, number])
        passes = -(-steps * size // len(rows))
        order = [_in_rounds(random.permutation(rows), owners) for _ in range(passes)]
        order = np.concatenate(order)[: steps * size]
        plan[name] = order.reshape(steps, replicas, size // replicas).astype(np.int32)
    return plan


def _in_rounds(rows: np.ndarray, owners: np.ndarray | None) -> np.ndarray:
    """Rows in rounds that hold each image at most once, in the order given within each."""
    if owners is None:
        return rows
    by_image = np.argsort(owners[rows], kind="stable")
    _, counts = np.unique(owners[rows], return_counts=True)
    rounds = np.empty(len(rows), np.int64)
    rounds[by_image] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows[np.argsort(rounds, kind="stable")]


def columns(pairs: Pairs) -> dict:
    """All columns there are: images, texts and, if any, labels as floats and ids of images."""
    found = {name: _floats(column) for name, column in pairs.label_columns.items()}
    ids = {} if pairs.image_ids is None else {"image_ids": pairs.image_ids}
    return {"images": pairs.images, "texts": pairs.texts} | found | ids


def stream_columns(pairs: Pairs, stream: str) -> dict[str, str]:
    """Which column each entry of a stream's batches is of, by the entry's name."""
    if pairs.paired:
        given = [name for name in ("labels", "image_ids") if getattr(pairs, name) is not None]
        return {name: name for name in ("images", "texts", *given)}
    return {
        "images": {"images": "images", "labels": "labels"},
        "texts": {"texts": "texts", "labels": "text_labels"},
    }[stream]


class MemoryFeed:
    """The whole training split on every device; steps gather their rows there."""

    def __init__(self, train: Pairs, strategy: tf.distribute.Strategy):
        arrays = {name: _rows(column, slice(None)) for name, column in columns(train).items()}
        self.data = _on_each_replica(
            strategy,
            lambda replica: {name: tf.constant(array) for name, array in arrays.items()},
        )


class StreamFeed:
    """Batches read from disk in the background, a few ahead of the step that needs them."""

    def __init__(self, train: Pairs, strategy: tf.distribute.Strategy, ahead: int = 4):
        self._train = train
        self._columns = columns(train)
        self._strategy = strategy
        self._ahead = ahead

    def batches(self, plan: Rows) -> Iterator[dict]:
        """Yields the batch of each step of `plan`, as one value a replica of this worker."""
        here = len(self._strategy.extended.worker_devices)
        first = here * Workers(self._strategy).index
        plan = {stream: rows[:, first : first + here] for stream, rows in plan.items()}
        steps, replicas, _ = next(iter(plan.values())).shape
        streams = {
            stream: {
                name: self._columns[column]
                for name, column in stream_columns(self._train, stream).items()
            }
            for stream in plan
        }
        signature = {
            stream: {
                name: tf.TensorSpec((*plan[stream].shape[1:], *values.shape[1:]), _dtype(values))
                for name, values in found.items()
            }
            for stream, found in streams.items()
        }

        def read():
            for step in range(steps):
                yield {
                    stream: {
                        name: _rows(values, plan[stream][step].ravel()).reshape(
                            signature[stream][name].shape
                        )
                        for name, values in found.items()
                    }
                    for stream, found in streams.items()
                }

        dataset = tf.data.Dataset.from_generator(read, output_signature=signature)
        for batch in untuned(dataset.prefetch(self._ahead)):
            yield _on_each_replica(
                self._strategy,
                lambda replica, batch=batch: tf.nest.map_structure(
                    lambda column: column[replica], batch
                ),
            )


def _dtype(column) -> str:
    """Raw inputs, such as pixels and token ids, stay whole numbers; features are floats."""
    dtype = np.dtype(getattr(column, "dtype", float))
    return dtype.name if dtype.kind in "iu" else keras.config.floatx()


def _rows(column, rows) -> np.ndarray:
    return np.asarray(column[rows], _dtype(column))


def _floats(rows) -> np.ndarray:
    return np.asarray(rows, keras.config.floatx())


def _on_each_replica(strategy, make):
    """What `make(replica)` gives, on that replica's device; each worker counts its own from 0."""
    devices = strategy.extended.worker_devices

    def value(context):
        replica = context.replica_id_in_sync_group % len(devices)
        with tf.device(devices[replica]):
            return make(replica)

    return strategy.experimental_distribute_values_from_function(value)


def memory_bytes(train: Pairs) -> int:
    """What `MemoryFeed` needs on each device."""
    return sum(
        int(np.prod(column.shape)) * np.dtype(_dtype(column)).itemsize
        for column in columns(train).values()
    )
