"""The one shape of what is trained by gradients, and of a method among it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras, tf
from tfxmodal.retrieval.scorer import Scorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tfxmodal.inputs.prepare import Prepared

Batch = dict[str, dict[str, "tf.Tensor"]]
"""Of each stream the rows of `images [n, d_image]`, `texts [n, d_text]` and, where the dataset has
them, `labels [n, classes]` and `image_ids [n]`."""


def sides(batch: Batch) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """The rows of images and the rows of texts: of one stream `pairs`, or of one stream each."""
    return batch.get("pairs", batch.get("images")), batch.get("pairs", batch.get("texts"))


def adam(learning_rate: float) -> keras.optimizers.Optimizer:
    """Adam with Keras' defaults."""
    return keras.optimizers.Adam(learning_rate)


def short_adam(learning_rate: float) -> keras.optimizers.Optimizer:
    """Adam whose first moment is a mean over few steps: beta_1 is .5."""
    return keras.optimizers.Adam(learning_rate, beta_1=0.5)


def rmsprop(learning_rate: float) -> keras.optimizers.Optimizer:
    """RMSprop with Keras' defaults."""
    return keras.optimizers.RMSprop(learning_rate)


@dataclass(frozen=True)
class Update:
    """A change of some variables, in every step, by the gradient of some loss terms.

    Attributes:
        name: By which checkpoints and error messages know it.
        losses: From a replica's batch and its `Replicas` to the scalar terms, by name. Their mean
            over the replicas is the term on the global batch.
        weights: The weight of each term, by name; the update minimises the weighted sum.
        variables: The Keras variables that it changes; all others stay as they are.
        optimizer: Makes the optimizer, given the run's learning rate.
        times: How often in a row it is made in a step; reports are of the last time.
    """

    name: str
    losses: Callable[[Batch, object], dict[str, tf.Tensor]]
    weights: dict[str, float]
    variables: list
    optimizer: Callable[[float], keras.optimizers.Optimizer] = adam
    times: int = 1


@dataclass(frozen=True)
class Stage:
    """A part of a training, with its own updates, epochs and patience.

    Attributes:
        name: As the reports name it.
        updates: In every step they run one after the other on the same batch, so that the second
            sees the weights that the first has changed. The names of their terms differ.
        epochs: Passes over the training pairs; None is the config's number.
        validated: Whether its best epoch is chosen by validation; else it is the last one. The
            networks of that epoch go on to the next stage. Those of the last stage are the run's
            result.
    """

    name: str
    updates: list[Update]
    epochs: int | None = None
    validated: bool = True


class Learner(ABC):
    """What the training loop trains: Keras networks, and the named loss terms of a batch.

    Most learners minimise one weighted sum of terms: they give `weights` and `loss_terms`. One with
    an adversary gives `updates`, and one that is trained in parts gives `stages`.

    Attributes:
        networks: The Keras models by name; all their variables are saved.
        weights: The weight of each loss term, by name, in the order of the paper.
        optimizer: Of the default `updates`, see `Update`.
        starts_trained: Whether the networks are of use before the first step. Then validation may
            keep them as they are, as epoch 0.
    """

    networks: dict[str, keras.Model]
    weights: dict[str, float]
    optimizer = staticmethod(adam)
    starts_trained = False

    @abstractmethod
    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """Row numbers that batches are drawn from, by stream; an epoch goes once over the first."""

    def check_batch(self, rows: int):  # noqa: B027
        """Checks, before any training, that batches are large enough: any size is, here.

        Args:
            rows: Of the first stream in the global batch.

        Raises:
            InputError: If they are too few.
        """

    def begin_epoch(self, done: float):  # noqa: B027
        """Called before each epoch, for what follows a schedule: nothing here.

        It is kept in variables of the networks or the optimizer. A run that is resumed within an
        epoch calls it again with the same number.

        Args:
            done: The fraction of the stage's epochs that is done: from 0 to below 1.
        """

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The value of each term in `weights`, on this replica's share of the global batch.

        It becomes a graph without AutoGraph: write `tf.cond` and `tf.while_loop` where a condition
        or a loop depends on tensors.

        Args:
            batch: This replica's rows of each stream.
            replicas: Gives `gather(rows)` and `offset(rows)`; see `tfxmodal.training.replicas`.

        Returns:
            Scalars by name: their mean over the replicas is the term on the global batch.
        """
        raise NotImplementedError(f"{type(self).__name__} gives neither loss_terms nor updates.")

    def updates(self) -> list[Update]:
        """The updates of a step: by default one on all variables and `loss_terms`."""
        variables = self.trainable_variables()
        return [Update("all", self.loss_terms, self.weights, variables, self.optimizer)]

    def stages(self) -> list[Stage]:
        """The stages of the training: by default one of `updates`."""
        return [Stage("all", self.updates())]

    def trainable_variables(self, *names: str) -> list:
        """Every trainable variable once, in a fixed order (networks may share layers).

        Args:
            *names: Of which networks; by default of all.
        """
        networks = [self.networks[name] for name in names or self.networks]
        variables = {id(v): v for network in networks for v in network.trainable_variables}
        return list(variables.values())


class Method(Learner):
    """A learner whose networks score images with texts."""

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Takes from the data what gradients do not learn, such as scaling: nothing here.

        It is kept in variables of the networks, so that a saved method has it without the pairs.

        Args:
            train: Training pairs as the method reads them.
            validation: Validation pairs, which choose between starts.
            select_by: See `evaluation.protocol.selection_score`.
            progress: Wraps an iterable, as tqdm does.
        """

    def settle(self, train: Pairs):
        """Takes from the data, before each validation, what follows the networks: nothing here.

        It is kept in variables of the networks that no update changes, as a last linear map.

        Args:
            train: Training pairs as the method reads them.
        """

    @abstractmethod
    def scorer(self) -> Scorer:
        """The scorer of the networks as they are now."""

    def other_scorers(self) -> dict[str, Scorer]:
        """Others of the same networks, by name, that an evaluation measures beside it: none."""
        return {}

    def figures(self, data: Prepared) -> dict[str, Figure]:
        """Figures of the method's own, by name, on the test split: none.

        Args:
            data: The dataset as the method reads it, and as it came.
        """
        return {}
