"""The one training loop of every gradient-trained method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.methods.learner import Learner, Stage
from tfxmodal.training.batches import MemoryFeed, Rows, StreamFeed, epoch_rows, memory_bytes
from tfxmodal.training.checkpoints import Checkpoints, TrainState
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.report import EpochReport
from tfxmodal.training.steps import Steps, variables_put_back
from tfxmodal.training.workers import Workers

_SECONDS_A_CALL = 5.0
"""Longest stay inside one compiled call: how soon a signal is heard and the progress bar moves."""


class NonFiniteLoss(InputError):
    """A loss term became NaN or infinite; the message names the term, the epoch and the step."""


class Interrupted(Exception):
    """The run was asked to stop; its state is saved and `resume` continues it."""


class Trainer:
    """Trains a method's networks: `restore_last` to resume, `epochs`, and `finish` after them.

    Build it, and the networks before it, inside `strategy.scope()`.

    Attributes:
        state: Where the run is.
        checkpoints: Those of the run; after the last epoch `restore_best` gives its result.

    Args:
        method: The method.
        train: Training pairs, both modalities as features.
        config: How to train.
        strategy: Where to train.
        folder: The run's folder, for checkpoints.

    Raises:
        InputError: If batches have too few rows for the replicas or for the method, or replicas
            cannot have equal shares of them.
        ValueError: If the method's updates or networks cannot be trained or saved as they are.
    """

    def __init__(self, method: Learner, train: Pairs, config: TrainingConfig, strategy, folder):
        self._method, self._train, self._config, self._strategy = method, train, config, strategy
        self._workers = Workers(strategy)
        self._networks, self._stages = method.networks, method.stages()
        self._streams = method.streams(train, config.seed)
        self._check_shares()
        self._starts_trained = method.starts_trained
        self.state = TrainState()
        self.checkpoints = Checkpoints(folder, method.networks, self.state, self._workers)
        in_memory = config.feed == "memory" or (
            config.feed == "auto" and memory_bytes(train) <= config.memory_gb * 1e9
        )
        self._feed = (MemoryFeed if in_memory else StreamFeed)(train, strategy)
        first = next(iter(self.plan(1).values()))
        method.check_batch(first[0].size)
        self._workers.take_chiefs(v for net in self._networks.values() for v in net.variables)
        self._enter_stage()

    @property
    def streams_from_disk(self) -> bool:
        """Whether batches are read from disk instead of gathered from the device's memory."""
        return isinstance(self._feed, StreamFeed)

    @property
    def most_epochs(self) -> int:
        """Epochs of all stages together, if none stops early."""
        return sum(map(self._length, self._stages))

    @property
    def ended_by(self) -> str | None:
        """Why no epoch follows where the run is, for people; None where one does."""
        if self.state.stage + 1 < len(self._stages) or not self._stage_is_over():
            return None
        reached = {"patience": self._waited_enough(), "minutes": self._time_is_up()}
        limits = [
            f"`{name}` {getattr(self._config, name):g}" for name, is_so in reached.items() if is_so
        ]
        reason = f"{' and '.join(limits)} ended the training, and with more it goes on"
        if self._has_its_epochs():
            reason = "all epochs are done"
        if cut := self.state.cut_short:
            stages = ", ".join(cut)
            reason += f"; `minutes` ended earlier stages before their epochs were done ({stages})"
        return reason

    def plan(self, epoch: int) -> Rows:
        """The rows of each step of an epoch."""
        config, replicas = self._config, self._strategy.num_replicas_in_sync
        owners = None if self._train.image_ids is None else self._train.owners
        return epoch_rows(self._streams, config.batch_size, replicas, config.seed, epoch, owners)

    def restore_last(self) -> bool:
        """Takes up the run where its last checkpoint was saved; False where it has none yet.

        A run that was stopped or killed then goes on as if nothing had happened, bit for bit. A
        finished run has left its optimizers behind (`state.finished` tells): where a config of more
        epochs lets it go on, it does so with new ones.

        Raises:
            InputError: If the checkpoint is damaged, of another model or of an earlier version.
        """
        state = self.checkpoints.last_state()
        if state is None:
            return False
        self.state.stage = state.stage
        self._enter_stage()
        self.checkpoints.restore_last({} if state.finished else self._steps.optimizers)
        return True

    def epochs(
        self,
        validate: Callable[[], tuple[float, dict]],
        stop_asked: Callable[[], bool] = lambda: False,
        progress: Callable | None = None,
    ) -> Iterator[EpochReport]:
        """Trains, and yields a report after each epoch.

        Checkpoints the last state after every epoch (and within long ones) once the caller asks for
        what follows its report, and the networks of the best epoch by validation, or of a stage's
        last one where nothing is selected. Networks that start trained are validated first, as
        epoch 0. A stage after the first begins with those that the one before it kept. Goes on
        where `state` is, so call `restore_last()` first to resume: a run that ended before that
        checkpoint trains the epoch again, to the same report.

        Args:
            validate: Scores the networks as they are: a number, higher is better, and details. Of
                several workers the chief calls it, for all.
            stop_asked: Asked every few seconds; when true the state is saved and the loop ends.
            progress: Called with `(steps done, steps of the epoch)` every few seconds.

        Raises:
            NonFiniteLoss: As soon as a term is NaN or infinite.
            Interrupted: When `stop_asked` said so.
        """
        if self._starts_trained and self._selects() and self.state == TrainState():
            yield self._start(validate)
        while self._goes_on():
            yield self._epoch(validate, stop_asked, progress)
            # Now that the report is with the caller: a run killed before trains the epoch again.
            self.checkpoints.save_last(self._steps.optimizers)

    def finish(self):
        """Drops the optimizers from the last checkpoint, once there are no more epochs.

        Call it before `restore_best`, while the networks are those of the last epoch. Of the run's
        checkpoints it leaves `last`, with networks and state, and `best`, with networks. Until this
        is called, a run whose epochs are done is resumed like any other.
        """
        if not self.state.finished:
            self.state.finished = True
            self.checkpoints.save_last({})

    def _check_shares(self):
        """Checks that replicas have equal shares of full batches, as losses of one machine need.

        Raises:
            InputError: If they have not.
        """
        size, replicas = self._config.batch_size, self._strategy.num_replicas_in_sync
        below = size // replicas * replicas
        if below < size <= max(map(len, self._streams.values())):
            sizes = " or ".join(str(each) for each in (below, below + replicas) if each)
            raise InputError(
                f"`batch_size` {size} cannot be shared equally by {replicas} replicas: give "
                f"{sizes}, or take a number of devices that divides it."
            )

    # --- stages -------------------------------------------------------------------------------

    @property
    def _stage(self) -> Stage:
        return self._stages[self.state.stage]

    def _length(self, stage: Stage) -> int:
        return self._config.epochs if stage.epochs is None else stage.epochs

    def _selects(self) -> bool:
        """Whether the epoch to keep is chosen; else it is the stage's last one."""
        return self._stage.validated and self._config.select_by != "last"

    def _enter_stage(self):
        """New optimizers, and no step compiled yet."""
        with self._strategy.scope():
            self._steps = Steps(self._stage, self._config, self._train, self._feed, self._strategy)
        self._call_steps = 1  # Steps in the next compiled call: as many as its speed allows.

    def _goes_on(self) -> bool:
        """Whether there is another epoch; goes on to the next stage where one is over."""
        state = self.state
        while self._stage_is_over():
            starts_kept = self._starts_trained and self._selects()
            if state.stage_epoch and not state.best_epoch and not starts_kept:
                # Limits were lowered when it was resumed, so that no epoch was the last one.
                state.best_epoch = state.epoch
                self.checkpoints.save_best(state.epoch)
            if state.stage + 1 == len(self._stages):
                return False
            if not self._waited_enough() and not self._has_its_epochs():
                state.cut_short.append(self._stage.name)
            if state.best_epoch or self._starts_trained:
                self.checkpoints.restore_best()
            state.stage, state.stage_epoch = state.stage + 1, 0
            state.best_score, state.best_epoch, state.waited = float("-inf"), 0, 0
            self._enter_stage()
            # At once: the next epoch to be kept replaces the one that this stage begins with.
            self.checkpoints.save_last(self._steps.optimizers)
        return True

    def _stage_is_over(self) -> bool:
        """Never within an epoch: one that is resumed ends as if it had not been stopped."""
        return not self.state.step and (self._waited_enough() or self._is_last_epoch())

    def _waited_enough(self) -> bool:
        return self._selects() and 0 < self._config.patience <= self.state.waited

    def _is_last_epoch(self) -> bool:
        """Whether the stage has had its epochs, or its share of the time and at least one."""
        return self._time_is_up() or self._has_its_epochs()

    def _has_its_epochs(self) -> bool:
        return self.state.stage_epoch >= self._length(self._stage)

    def _time_is_up(self) -> bool:
        share = 60 * self._config.minutes * (self.state.stage + 1) / len(self._stages)
        return self.state.stage_epoch > 0 and 0 < share <= self.state.seconds

    # --- one epoch ----------------------------------------------------------------------------

    def _start(self, validate) -> EpochReport:
        """Keeps the networks as they are until an epoch is better."""
        score, details = self._workers.from_chief(validate)
        self.state.best_score = score
        self.checkpoints.save_best(0)
        return EpochReport(
            epoch=0,
            stage=None,
            losses={},
            gradient_norms={},
            score=score,
            validation=details,
            improved=True,
            learning_rates=self._steps.learning_rates,
            seconds=0.0,
            pairs_per_second=0.0,
        )

    def _epoch(self, validate, stop_asked, progress) -> EpochReport:
        """Trains an epoch, or the rest of one, validates it and keeps it where it is the best."""
        state, config, stage = self.state, self._config, self._stage
        state.finished = False
        epoch = state.epoch + 1
        plan = self.plan(epoch)
        self._method.begin_epoch(state.stage_epoch / self._length(stage))
        norms = self._gradient_norms(epoch, plan)
        before = state.seconds, state.pairs
        losses = self._run_epoch(epoch, plan, stop_asked, progress)
        seconds, pairs = state.seconds - before[0], state.pairs - before[1]
        state.epoch, state.step, state.loss_sums = epoch, 0, None
        state.stage_epoch += 1

        last = self._is_last_epoch()
        score, details, improved = None, None, last and not self._selects()
        if stage.validated and (last or state.stage_epoch % config.validate_every == 0):
            score, details = self._workers.from_chief(validate)
            if self._selects():
                improved = score > state.best_score
                state.waited = 0 if improved else state.waited + 1
        if improved:
            state.best_epoch = epoch
            state.best_score = state.best_score if score is None else score
            self.checkpoints.save_best(epoch)
        return EpochReport(
            epoch=epoch,
            stage=stage.name if len(self._stages) > 1 else None,
            losses=losses,
            gradient_norms=norms,
            score=score,
            validation=details,
            improved=improved,
            learning_rates=self._steps.learning_rates,
            seconds=seconds,
            pairs_per_second=pairs / max(seconds, 1e-9),  # None are left where it was resumed late.
        )

    def _gradient_norms(self, epoch: int, plan: Rows) -> dict[str, float]:
        """The norms before an epoch; empty where they are not to be measured.

        Measuring draws dropout's random numbers and moves batch normalisation's statistics. Both
        are put back, so that it changes no result.
        """
        every = self._config.gradient_norms_every
        due = every > 0 and (epoch == 1 or epoch % every == 0)
        if self.state.step or not due:  # Resumed within an epoch: it was done before.
            return {}
        changed = [v for net in self._networks.values() for v in net.variables if not v.trainable]
        with variables_put_back(changed, self._strategy):
            return self._steps.gradient_norms(plan)

    def _run_epoch(self, epoch: int, plan: Rows, stop_asked, progress) -> dict[str, float]:
        """The rest of an epoch, in compiled calls of a few seconds each; returns mean losses."""
        state, steps, names = self.state, len(next(iter(plan.values()))), self._steps.names
        sums = np.array(state.loss_sums or [0.0] * len(names))
        saved, wait = time.perf_counter(), 60 * self._config.checkpoint_minutes
        while state.step < steps:
            start, length = time.perf_counter(), min(self._call_steps, steps - state.step)
            values = self._steps.run(plan, state.step, state.step + length)
            seconds = self._workers.from_chief(partial(_seconds_since, start))
            self._check_finite(values, epoch, state.step)
            for step_values in values:  # One by one: the same sum, however calls divide an epoch.
                sums += step_values[: len(names)]
            state.seconds += seconds
            state.pairs += next(iter(plan.values()))[state.step : state.step + length].size
            state.step += length
            state.loss_sums = sums.tolist()
            # Later calls tell the speed; the first one is mostly compilation.
            most = int(length * _SECONDS_A_CALL / seconds)
            self._call_steps = max(1, min(2 * self._call_steps, most))
            if progress:
                progress(state.step, steps)
            if self._workers.any(stop_asked()):
                self.checkpoints.save_last(self._steps.optimizers)
                raise Interrupted
            if self._workers.from_chief(partial(_seconds_since, saved)) > wait:
                self.checkpoints.save_last(self._steps.optimizers)
                saved = time.perf_counter()
        return dict(zip(names, (sums / steps).tolist(), strict=True))

    def _check_finite(self, values: np.ndarray, epoch: int, first_step: int):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            step, value = bad[0]
            raise NonFiniteLoss(
                f"The {self._steps.checked[value]} became {values[step, value]} in epoch {epoch}, "
                f"step {first_step + step + 1}: lower `learning_rate` or the term's weight; the "
                "checkpoints hold the state before it."
            )


def _seconds_since(start: float) -> float:
    return time.perf_counter() - start
