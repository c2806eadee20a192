"""Checkpoints: the last state, from which a killed run goes on, and the best by validation."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tfxmodal.errors import InputError, first_line
from tfxmodal.lazy import tf


@dataclass
class TrainState(tf.train.experimental.PythonState):
    """Where a run is: all that, with the networks and the optimizer, decides how it goes on.

    Attributes:
        epoch: Epochs completed.
        step: Steps done of the epoch under way.
        loss_sums: Sums over those steps of each term and of the total.
        best_score: Best validation score so far.
        best_epoch: The epoch that reached it.
        waited: Validations since then.
        seconds: Time spent on training steps.
        pairs: Pairs seen in that time.
    """

    epoch: int = 0
    step: int = 0
    loss_sums: list[float] | None = None
    best_score: float = float("-inf")
    best_epoch: int = 0
    waited: int = 0
    seconds: float = 0.0
    pairs: int = 0

    def serialize(self) -> str:
        """The state as text, for the checkpoint."""
        return json.dumps(dataclasses.asdict(self))

    def deserialize(self, text: str):
        """Takes the state from a checkpoint."""
        vars(self).update(json.loads(text))


class Checkpoints:
    """The two checkpoint managers of a run folder: `last/` and `best/`.

    TensorFlow writes a checkpoint's files first and then, atomically, the `checkpoint` file that
    names it, so that a run killed while it saves goes on from the one before.
    """

    def __init__(
        self, folder: Path, networks: dict, optimizer=None, state: TrainState | None = None
    ):
        weights = tf.train.Checkpoint(**networks)
        _check_complete(weights, networks)
        self._best = tf.train.CheckpointManager(weights, folder / "best", max_to_keep=1)
        if optimizer is not None:
            random = _random_states(networks)
            whole = tf.train.Checkpoint(**networks, optimizer=optimizer, state=state, random=random)
            self._last = tf.train.CheckpointManager(whole, folder / "last", max_to_keep=2)

    def save_last(self):
        """Saves networks, optimizer, state and dropout's random numbers."""
        self._last.save()

    def save_best(self, epoch: int):
        """Saves the networks as the best so far, those of `epoch`."""
        self._best.save(checkpoint_number=epoch)

    def restore_last(self) -> bool:
        """Restores the last state; False where the run has none yet."""
        return _restore(self._last, whole=True)

    def restore_best(self):
        """Restores the best networks."""
        if not _restore(self._best, whole=False):
            raise InputError(
                f"{Path(self._best.directory).parent} holds no trained model: its run was stopped "
                "before the first validation; continue it with --resume."
            )


def _check_complete(checkpoint: tf.train.Checkpoint, networks: dict):
    """TensorFlow overlooks what Keras finds in some containers, a list of layers for one."""
    reached = {id(part) for part in tf.train.TrackableView(checkpoint).descendants()}
    for name, network in networks.items():
        lost = [weight.path for weight in network.weights if id(weight) not in reached]
        assert not lost, f"The checkpoint of {name} would lack {lost}; keep the layers in a tuple."


def _random_states(networks: dict) -> list:
    """Where the networks' dropout is in its random numbers; Keras keeps them out of checkpoints."""
    return [
        variable
        for network in networks.values()
        for variable in network.variables
        if not any(variable is weight for weight in network.weights)
    ]


def _restore(manager: tf.train.CheckpointManager, whole: bool) -> bool:
    path = manager.latest_checkpoint
    if path is None:
        return False
    try:
        status = manager.checkpoint.restore(path)
        status.assert_consumed() if whole else status.assert_existing_objects_matched()
    # TensorFlow's reader of a file cut short raises an IndexError.
    except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
        older = [other for other in manager.checkpoints if other != path]
        remedy = (
            f"to go on from the one before, name {Path(older[-1]).name} in "
            f"{manager.directory}/checkpoint"
            if older
            else "train again in another --run-dir"
        )
        reason = first_line(error)[:200]
        raise InputError(
            f"The checkpoint {path} is damaged or of another model ({reason}): {remedy}."
        ) from error
    return True
