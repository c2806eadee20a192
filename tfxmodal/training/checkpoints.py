"""Checkpoints: the last state, from which a killed run goes on, and the best by validation."""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfxmodal.errors import InputError, first_line
from tfxmodal.lazy import keras, tf
from tfxmodal.training.workers import Workers

STATE = "state/.ATTRIBUTES/py_state"
"""The name of a run's state in its last checkpoint."""


@dataclass
class TrainState(tf.train.experimental.PythonState):
    """Where a run is: all that, with the networks and the optimizers, decides how it goes on.

    Attributes:
        epoch: Epochs completed.
        stage: Number of the stage under way, from 0.
        stage_epoch: Epochs of it completed.
        step: Steps done of the epoch under way.
        loss_sums: Sums over those steps of each term and of the total.
        best_score: Best validation score of the stage so far.
        best_epoch: The epoch whose networks `best/` holds, 0 before there is one in this stage.
        waited: Validations since then.
        seconds: Time spent on training steps.
        pairs: Pairs seen in that time.
        finished: Whether the training came to its end and left its optimizers behind.
        cut_short: Names of the earlier stages that time ended before their epochs were done.
    """

    epoch: int = 0
    stage: int = 0
    stage_epoch: int = 0
    step: int = 0
    loss_sums: list[float] | None = None
    best_score: float = float("-inf")
    best_epoch: int = 0
    waited: int = 0
    seconds: float = 0.0
    pairs: int = 0
    finished: bool = False
    cut_short: list[str] = dataclasses.field(default_factory=list)

    def serialize(self) -> str:
        """The state as text, for the checkpoint."""
        return json.dumps(dataclasses.asdict(self))

    def deserialize(self, text: str):
        """Takes the state from a checkpoint."""
        vars(self).update(json.loads(text))


class Checkpoints:
    """The two checkpoints of a run folder: `last/` and `best/`.

    TensorFlow writes a checkpoint's files first, then, atomically, the `checkpoint` file that names
    it, and deletes the checkpoint before it after that, so that a run killed while it saves goes on
    from the one before.

    Variables are the same on all workers of a training, so that the chief alone writes them. Every
    worker reads them, from the folder that all share.

    Args:
        folder: The run's folder.
        networks: The Keras models by name.
        state: The run's state; None to restore the best networks only.
        workers: Those of the training.

    Raises:
        ValueError: If a checkpoint would not hold all weights of a network.
    """

    def __init__(
        self,
        folder: Path,
        networks: dict,
        state: TrainState | None = None,
        workers: Workers | None = None,
    ):
        self._workers = workers or Workers()
        weights = tf.train.Checkpoint(**networks)
        _check_complete(weights, networks)
        self._best = tf.train.CheckpointManager(weights, folder / "best", max_to_keep=1)
        if state is not None:
            self._whole = tf.train.Checkpoint(
                **networks, state=state, random=random_states(networks)
            )
            self._last = tf.train.CheckpointManager(self._whole, folder / "last", max_to_keep=1)

    def save_last(self, optimizers: dict[str, keras.optimizers.Optimizer]):
        """Saves networks, state, dropout's random numbers and the optimizers given."""
        self._whole.optimizers = optimizers
        if self._workers.is_chief:
            with _tidied(self._last):
                self._last.save()

    def save_best(self, epoch: int):
        """Saves the networks as the best so far, those of `epoch`."""
        if self._workers.is_chief:
            with _tidied(self._best):
                self._best.save(checkpoint_number=epoch)

    def last_state(self) -> TrainState | None:
        """The state in the last checkpoint; None where the run has none yet.

        Raises:
            InputError: If it is damaged, or of an earlier version.
        """
        path = self._newest(self._last)
        if path is None:
            return None
        with _damage_told(path):
            reader = tf.train.load_checkpoint(path)
            text = reader.get_tensor(STATE).decode()
        if any(name.startswith("optimizer/") for name in reader.get_variable_to_shape_map()):
            raise InputError(
                f"The run in {Path(self._last.directory).parent} was trained by an earlier version "
                "of tfxmodal, which kept other checkpoints, so its training cannot go on: use it "
                "as it is, or train again in another `run_dir`."
            )
        return TrainState(**json.loads(text))

    def restore_last(self, optimizers: dict[str, keras.optimizers.Optimizer]):
        """Restores all that `save_last` saved, with the same optimizers."""
        self._whole.optimizers = optimizers
        path = self._newest(self._last)
        with _damage_told(path):
            self._whole.restore(path).assert_consumed()

    def restore_best(self):
        """Restores the best networks."""
        path = self._newest(self._best)
        if path is None:
            raise InputError(
                f"{Path(self._best.directory).parent} holds no trained model: its run was stopped "
                "before an epoch was chosen; continue it with `resume`."
            )
        with _damage_told(path):
            self._best.checkpoint.restore(path).assert_existing_objects_matched()

    def _newest(self, manager: tf.train.CheckpointManager) -> str | None:
        """The newest checkpoint, as the chief knows it, who alone writes them."""
        name = self._workers.from_chief(lambda: Path(manager.latest_checkpoint or "").name)
        return str(Path(manager.directory) / name) if name else None


def _check_complete(checkpoint: tf.train.Checkpoint, networks: dict):
    """TensorFlow overlooks what Keras finds in some containers, a list of layers for one."""
    reached = {id(part) for part in tf.train.TrackableView(checkpoint).descendants()}
    for name, network in networks.items():
        lost = [weight.path for weight in network.weights if id(weight) not in reached]
        if lost:
            raise ValueError(
                f"A checkpoint of the network {name!r} would lack {lost}: keep its layers in a "
                "tuple, not in a list."
            )


def random_states(networks: dict) -> list:
    """Where the networks' dropout is in its random numbers; Keras keeps them out of checkpoints."""
    return [
        variable
        for network in networks.values()
        for variable in network.variables
        if not any(variable is weight for weight in network.weights)
    ]


@contextmanager
def _tidied(manager: tf.train.CheckpointManager):
    """Removes what a save that failed has written, so that the disk has room again."""
    try:
        yield
    except BaseException:
        whole = tf.train.latest_checkpoint(manager.directory)
        for path in Path(manager.directory).glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "checkpoint" and (whole is None or path.stem != Path(whole).name):
                path.unlink()
        raise


@contextmanager
def _damage_told(path: str):
    """Says in one sentence that a checkpoint cannot be read."""
    try:
        yield
    # TensorFlow's reader of a file cut short raises an IndexError.
    except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
        raise InputError(
            f"The checkpoint {path} is damaged or of another model "
            f"({first_line(error)[:200]}): train again in another `run_dir`."
        ) from error
