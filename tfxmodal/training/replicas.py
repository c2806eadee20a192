"""Replicas: the strategy, and what one replica can see of the others."""

from __future__ import annotations

from functools import cache

from tfxmodal.lazy import tf


@cache
def make_strategy(*devices: str) -> tf.distribute.MirroredStrategy:
    """A MirroredStrategy over `devices`; by default over every GPU, or the CPU without one.

    It is the same one each time: a second over several devices would number its collectives as the
    first did, and TensorFlow ends all of them where their shapes differ.
    """
    return tf.distribute.MirroredStrategy(devices or None)


class Replicas:
    """What a method may ask inside a step, on one replica of several.

    The losses of this field compare every item of a batch with every other: they are defined on the
    global batch. A replica holds `n` rows of it, gathers the others' rows, and computes the mean
    over its own anchors; the mean over replicas is then the loss of the global batch. Gradients
    flow back through `gather` to the replica that made a row.
    """

    def __init__(self):
        context = tf.distribute.get_replica_context()
        self.count = context.num_replicas_in_sync
        self._context = context

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The rows `[n, ...]` of every replica, in the global batch's order: `[count * n, ...]`."""
        if self.count == 1:
            return rows
        # A batch that was read from disk names no device; what is computed from it does.
        gathered = self._context.all_gather(tf.identity(rows), axis=0)
        # It forgets the shape, and takes no sparse gradient, as that of `tf.gather` is.
        return tf.reshape(gathered, tf.concat([[-1], tf.shape(rows)[1:]], axis=0))

    def offset(self, rows: tf.Tensor):
        """The place of this replica's first row in the gathered batch."""
        if self.count == 1:
            return 0
        return self._context.replica_id_in_sync_group * tf.shape(rows)[0]

    def sum(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        """Each tensor summed over the replicas."""
        if self.count == 1:
            return tensors
        return self._context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
