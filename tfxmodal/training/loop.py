"""The one training loop of every gradient-trained method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras, tf
from tfxmodal.methods.learner import Learner
from tfxmodal.training.batches import (
    MemoryFeed,
    Rows,
    StreamFeed,
    epoch_rows,
    memory_bytes,
    stream_columns,
)
from tfxmodal.training.checkpoints import Checkpoints, TrainState
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.replicas import Replicas
from tfxmodal.training.report import EpochReport

_SECONDS_A_CALL = 5.0
"""Longest stay inside one compiled call: how soon a signal is heard and the progress bar moves."""


class NonFiniteLoss(ArithmeticError):
    """A loss term became NaN or infinite; the message names the term, the epoch and the step."""


class Interrupted(Exception):
    """The run was asked to stop; its state is saved and `--resume` continues it."""


class Trainer:
    """Trains a method's networks; see `epochs` for the loop itself.

    Build it, and the networks before it, inside `strategy.scope()`.

    Args:
        method: The method.
        train: Training pairs, both modalities as features.
        config: How to train.
        strategy: Where to train.
        folder: The run's folder, for checkpoints.
    """

    def __init__(self, method: Learner, train: Pairs, config: TrainingConfig, strategy, folder):
        # This graph rewriting sums gradients in an order that changes from run to run, in one run
        # of ten at full size; without it, which costs no time, a resumed run is bit-equal.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
        self._method, self._train, self._config, self._strategy = method, train, config, strategy
        self._variables = method.trainable_variables()
        self._optimizer = keras.optimizers.Adam(config.learning_rate)
        # Under a strategy the optimizer must have its variables before the first step.
        self._optimizer.build(self._variables)
        self.state = TrainState()
        self.checkpoints = Checkpoints(folder, method.networks, self._optimizer, self.state)
        in_memory = config.feed == "memory" or (
            config.feed == "auto" and memory_bytes(train) <= config.memory_gb * 1e9
        )
        self._feed = (MemoryFeed if in_memory else StreamFeed)(train, strategy)
        self._streams = method.streams(train, config.seed)
        self._names = [*method.weights, "total"]
        self._call_steps = 1  # Steps in the next compiled call: as many as its speed allows.
        self._checked = [*(f"loss term {name!r}" for name in self._names), "gradient"]

    @property
    def streams_from_disk(self) -> bool:
        """Whether batches are read from disk instead of gathered from the device's memory."""
        return isinstance(self._feed, StreamFeed)

    def plan(self, epoch: int) -> Rows:
        """The rows of each step of an epoch."""
        replicas = self._strategy.num_replicas_in_sync
        return epoch_rows(
            self._streams, self._config.batch_size, replicas, self._config.seed, epoch
        )

    def epochs(
        self,
        validate: Callable[[], tuple[float, dict]],
        stop_asked: Callable[[], bool] = lambda: False,
        progress: Callable | None = None,
    ) -> Iterator[EpochReport]:
        """Trains, and yields a report after each epoch.

        Checkpoints the last state after every epoch (and within long ones), and the best networks
        by validation. Goes on where `state` is, so call `checkpoints.restore_last()` first to
        resume.

        Args:
            validate: Scores the networks as they are: a number, higher is better, and details.
            stop_asked: Asked every few seconds; when true the state is saved and the loop ends.
            progress: Called with `(steps done, steps of the epoch)` every few seconds.

        Raises:
            NonFiniteLoss: As soon as a term is NaN or infinite.
            Interrupted: When `stop_asked` said so.
        """
        state, config = self.state, self._config
        while state.epoch < config.epochs and not self._waited_enough():
            epoch = state.epoch + 1
            plan = self.plan(epoch)
            norms = self._gradient_norms(plan) if self._measures_norms(epoch) else {}
            start, first = time.perf_counter(), state.step
            losses = self._run_epoch(epoch, plan, stop_asked, progress)
            seconds = time.perf_counter() - start
            pairs = next(iter(plan.values()))[first:].size
            state.epoch, state.step, state.loss_sums = epoch, 0, None
            state.seconds, state.pairs = state.seconds + seconds, state.pairs + pairs

            score, details, improved = None, None, False
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                score, details = validate()
                improved = score > state.best_score
                state.waited = 0 if improved else state.waited + 1
                if improved:
                    state.best_score, state.best_epoch = score, epoch
                    self.checkpoints.save_best(epoch)
            self.checkpoints.save_last()
            yield EpochReport(
                epoch=epoch,
                losses=losses,
                gradient_norms=norms,
                score=score,
                validation=details,
                improved=improved,
                learning_rate=float(keras.ops.convert_to_numpy(self._optimizer.learning_rate)),
                seconds=seconds,
                pairs_per_second=pairs / seconds,
            )

    def _waited_enough(self) -> bool:
        return 0 < self._config.patience <= self.state.waited

    def _measures_norms(self, epoch: int) -> bool:
        # Not in an epoch that is resumed: measuring draws dropout's random numbers.
        every = self._config.gradient_norms_every
        return self.state.step == 0 and (epoch == 1 or epoch % every == 0)

    def _run_epoch(self, epoch: int, plan: Rows, stop_asked, progress) -> dict[str, float]:
        """The rest of an epoch, in compiled calls of a few seconds each; returns mean losses."""
        state, steps = self.state, len(next(iter(plan.values())))
        sums = np.array(state.loss_sums or [0.0] * len(self._names))
        saved = time.perf_counter()
        while state.step < steps:
            start, length = time.perf_counter(), min(self._call_steps, steps - state.step)
            values = self._run_steps(plan, state.step, state.step + length).numpy()
            seconds = time.perf_counter() - start
            self._check_finite(values, epoch, state.step)
            for step_values in values:  # One by one: the same sum, however calls divide an epoch.
                sums += step_values[:-1]
            state.step += length
            state.loss_sums = sums.tolist()
            # Later calls tell the speed; the first one is mostly compilation.
            most = int(length * _SECONDS_A_CALL / seconds)
            self._call_steps = max(1, min(2 * self._call_steps, most))
            if progress:
                progress(state.step, steps)
            if stop_asked():
                self.checkpoints.save_last()
                raise Interrupted
            if time.perf_counter() - saved > 60 * self._config.checkpoint_minutes:
                self.checkpoints.save_last()
                saved = time.perf_counter()
        return dict(zip(self._names, (sums / steps).tolist(), strict=True))

    def _check_finite(self, values: np.ndarray, epoch: int, first_step: int):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            step, term = bad[0]
            raise NonFiniteLoss(
                f"The {self._checked[term]} became {values[step, term]} in epoch {epoch}, step "
                f"{first_step + step + 1}: lower --learning-rate or the term's weight; the "
                "checkpoints hold the state before it."
            )

    # --- one step, on one replica -------------------------------------------------------------

    def _losses(self, batch) -> tuple[list[tf.Tensor], tf.Tensor]:
        """This replica's weighted share of each term, and their sum."""
        replicas = Replicas()
        terms = self._method.loss_terms(batch, replicas)
        shares = [terms[name] / replicas.count for name in self._method.weights]
        weights = self._method.weights.values()
        return shares, tf.add_n([w * share for w, share in zip(weights, shares, strict=True)])

    def _step(self, batch) -> tf.Tensor:
        """Updates the networks; returns this replica's share of the terms, total, gradient norm."""
        with tf.GradientTape() as tape:
            shares, total = self._losses(batch)
        gradients = tape.gradient(total, self._variables)
        self._optimizer.apply(gradients, self._variables)
        # The losses alone would not tell: a ReLU turns the NaN of a broken weight into 0.
        return tf.stack([*shares, total, tf.linalg.global_norm(gradients)])

    def _norms(self, batch) -> tf.Tensor:
        """Norms of the global gradient of each weighted term and of the total."""
        with tf.GradientTape(persistent=True) as tape:
            shares, total = self._losses(batch)
            weights = self._method.weights.values()
            targets = [*(w * share for w, share in zip(weights, shares, strict=True)), total]
        norms = []
        for target in targets:
            gradients = tape.gradient(target, self._variables)
            reached = [gradient for gradient in gradients if gradient is not None]
            norms.append(tf.linalg.global_norm(Replicas().sum(reached)))
        return tf.stack(norms)

    # --- the same on every replica, from memory or from disk ----------------------------------

    def _run_steps(self, plan: Rows, first: int, last: int) -> tf.Tensor:
        """Runs the steps `first` to `last`, that one not; returns `[steps, values]`."""
        if self.streams_from_disk:
            part = {name: rows[first:last] for name, rows in plan.items()}
            return tf.stack([self._streamed_step(batch) for batch in self._feed.batches(part)])
        return self._memory_steps(self._feed.data, _tensors(plan), *map(tf.constant, (first, last)))

    def _gradient_norms(self, plan: Rows) -> dict[str, float]:
        first = {name: rows[:1] for name, rows in plan.items()}
        if self.streams_from_disk:
            values = self._streamed_norms(next(self._feed.batches(first)))
        else:
            values = self._memory_norms(self._feed.data, _tensors(first))
        return dict(zip(self._names, map(float, values), strict=True))

    @tf.function
    def _memory_steps(self, data, plan, first, last):
        """Many steps in one call: the features stay on the device and Python stays out."""
        values = tf.TensorArray(keras.config.floatx(), size=last - first)
        for step in tf.range(first, last):
            rows = {name: order[step] for name, order in plan.items()}
            shares = self._strategy.run(self._gather_and(self._step), args=(data, rows))
            values = values.write(step - first, self._sum(shares))
        return values.stack()

    @tf.function
    def _memory_norms(self, data, plan):
        rows = {name: order[0] for name, order in plan.items()}
        norms = self._strategy.run(self._gather_and(self._norms), args=(data, rows))
        return self._strategy.experimental_local_results(norms)[0]

    @tf.function
    def _streamed_step(self, batch):
        return self._sum(self._strategy.run(self._step, args=(batch,)))

    @tf.function
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

        return run


def _tensors(plan: Rows) -> dict[str, tf.Tensor]:
    return {name: tf.constant(rows) for name, rows in plan.items()}
