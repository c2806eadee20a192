"""The compiled steps of one stage: its updates on every replica, from memory or from disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras, tf
from tfxmodal.methods.learner import Stage, Update
from tfxmodal.training.batches import Rows, StreamFeed, stream_columns
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.isolation import repeatable_graphs
from tfxmodal.training.replicas import Replicas


class Steps:
    """Runs the updates of a stage, and measures their gradients.

    Build it inside `strategy.scope()`.

    Attributes:
        optimizers: Of each update, by its name.
        names: Those of all updates' terms, and `total`.
        checked: What each value of a step is, for error messages.

    Args:
        stage: Its updates.
        config: Learning rate and weight decay.
        train: Training pairs.
        feed: How their rows reach the devices.
        strategy: The strategy.

    Raises:
        ValueError: If two updates have one name, or two terms.
    """

    def __init__(self, stage: Stage, config: TrainingConfig, train: Pairs, feed, strategy):
        self._updates, self._train = stage.updates, train
        self._feed, self._strategy = feed, strategy
        self.names = [*(name for update in stage.updates for name in update.weights), "total"]
        update_names = [update.name for update in stage.updates]
        for what, names in (("updates", update_names), ("loss terms", self.names)):
            if len(set(names)) < len(names):
                raise ValueError(f"The {what} of stage {stage.name!r} share a name: {names}.")
        self.optimizers = {}
        for update in stage.updates:
            self.optimizers[update.name] = optimizer = update.optimizer(config.learning_rate)
            optimizer.weight_decay = config.weight_decay or None
            # Under a strategy the optimizer must have its variables before the first step.
            optimizer.build(update.variables)
        gradients = ["gradient"]
        if len(update_names) > 1:
            gradients = [f"gradient of update {name!r}" for name in update_names]
        self.checked = [*(f"loss term {name!r}" for name in self.names), *gradients]

    @property
    def learning_rates(self) -> dict[str, float]:
        """Of each update, by its name."""
        rates = {name: optimizer.learning_rate for name, optimizer in self.optimizers.items()}
        return {name: float(keras.ops.convert_to_numpy(rate)) for name, rate in rates.items()}

    def run(self, plan: Rows, first: int, last: int) -> np.ndarray:
        """Runs the steps `first` to `last`, that one not, of an epoch.

        Args:
            plan: The epoch's rows.
            first: Number of the first step.
            last: Number of the step after the last.

        Returns:
            `[steps, values]`: what `checked` names.
        """
        with repeatable_graphs():
            if isinstance(self._feed, StreamFeed):
                part = {name: rows[first:last] for name, rows in plan.items()}
                batches = self._feed.batches(part)
                return np.stack([self._streamed_step(batch).numpy() for batch in batches])
            bounds = map(tf.constant, (first, last))
            return self._memory_steps(self._feed.data, _tensors(plan), *bounds).numpy()

    def gradient_norms(self, plan: Rows) -> dict[str, float]:
        """Norms of the global gradient of each weighted term and of the total, in the first step.

        The step is not made, but dropout and batch normalisation take part in it as in training.
        """
        first = {name: rows[:1] for name, rows in plan.items()}
        with repeatable_graphs():
            if isinstance(self._feed, StreamFeed):
                values = self._streamed_norms(next(self._feed.batches(first)))
            else:
                values = self._memory_norms(self._feed.data, _tensors(first))
        return dict(zip(self.names, map(float, values), strict=True))

    # --- one step, on one replica -------------------------------------------------------------

    def _step(self, batch) -> tf.Tensor:
        """Updates the networks; returns this replica's share of the values of `checked`."""
        all_shares, totals, norms = [], [], []
        for update in self._updates:
            for _ in range(update.times):
                with tf.GradientTape() as tape:
                    shares, total = _losses(update, batch)
                gradients = tape.gradient(total, update.variables)
                self.optimizers[update.name].apply(gradients, update.variables)
            all_shares += shares
            totals.append(total)
            # The losses alone would not tell: a ReLU turns the NaN of a broken weight into 0.
            norms.append(tf.linalg.global_norm(gradients))
        return tf.stack([*all_shares, tf.add_n(totals), *norms])

    def _norms(self, batch) -> tf.Tensor:
        """The norms of `gradient_norms`."""
        norms, whole = [], []
        for update in self._updates:
            with tf.GradientTape(persistent=True) as tape:
                shares, total = _losses(update, batch)
                weighted = [w * s for w, s in zip(update.weights.values(), shares, strict=True)]
            for target in weighted:
                norms.append(tf.linalg.global_norm(_gradient(tape, target, update)))
            whole += _gradient(tape, total, update)
        return tf.stack([*norms, tf.linalg.global_norm(whole)])

    # --- the same on every replica ------------------------------------------------------------

    @tf.function
    def _memory_steps(self, data, plan, first, last):
        """Many steps in one call: the features stay on the device and Python stays out."""
        values = tf.TensorArray(keras.config.floatx(), size=last - first)
        for step in tf.range(first, last):
            rows = {name: order[step] for name, order in plan.items()}
            shares = self._strategy.run(self._gather_and(self._step), args=(data, rows))
            values = values.write(step - first, self._sum(shares))
        return values.stack()

    @tf.function(autograph=False)
    def _memory_norms(self, data, plan):
        rows = {name: order[0] for name, order in plan.items()}
        norms = self._strategy.run(self._gather_and(self._norms), args=(data, rows))
        return self._strategy.experimental_local_results(norms)[0]

    @tf.function(autograph=False)
    def _streamed_step(self, batch):
        return self._sum(self._strategy.run(self._step, args=(batch,)))

    @tf.function(autograph=False)
    def _streamed_norms(self, batch):
        norms = self._strategy.run(self._norms, args=(batch,))
        return self._strategy.experimental_local_results(norms)[0]

    def _sum(self, shares):
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)

    def _gather_and(self, function):
        """`function` on the batch that this replica's rows of `data` make."""

        def run(data, rows):
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group

            def batch(stream, order):
                return {
                    name: tf.gather(data[column], order[replica])
                    for name, column in stream_columns(self._train, stream).items()
                }

            return function({stream: batch(stream, order) for stream, order in rows.items()})

        # Only the loop over steps is AutoGraph's: to convert all losses takes a second.
        return tf.autograph.experimental.do_not_convert(run)


def _losses(update: Update, batch) -> tuple[list[tf.Tensor], tf.Tensor]:
    """This replica's share of each term of an update, and their weighted sum."""
    replicas = Replicas()
    terms = update.losses(batch, replicas)
    shares = [terms[name] / replicas.count for name in update.weights]
    weights = update.weights.values()
    return shares, tf.add_n([w * share for w, share in zip(weights, shares, strict=True)])


def _gradient(tape: tf.GradientTape, target: tf.Tensor, update: Update) -> list[tf.Tensor]:
    """The global gradient by the variables of an update; a zero for each that is not reached."""
    gradients, zero = tape.gradient(target, update.variables), tf.zeros([], target.dtype)
    return Replicas().sum([zero if each is None else each for each in gradients])


def _tensors(plan: Rows) -> dict[str, tf.Tensor]:
    return {name: tf.constant(rows) for name, rows in plan.items()}


@contextmanager
def variables_put_back(variables: list, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Gives variables, on every replica, the values back that they had before."""
    parts = [part for v in variables for part in strategy.experimental_local_results(v.value)]
    before = [tf.convert_to_tensor(part) for part in parts]
    try:
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.assign(value)
