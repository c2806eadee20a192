"""The one shape of what is trained by gradients, and of a method among it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras, tf
from tfxmodal.retrieval.scorer import Scorer

Batch = dict[str, dict[str, "tf.Tensor"]]
"""Of each stream the rows of `images [n, d_image]`, `texts [n, d_text]` and, where the dataset has
them, `labels [n, classes]`."""


class Learner(ABC):
    """What the training loop trains: Keras networks, and the named loss terms of a batch.

    The loss is the sum of the terms, each times its weight; the training loop logs every term.

    Attributes:
        networks: The Keras models by name; all their variables are trained and saved.
        weights: The weight of each loss term, by name, in the order of the paper.
    """

    networks: dict[str, keras.Model]
    weights: dict[str, float]

    @abstractmethod
    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """Row numbers that batches are drawn from, by stream; an epoch goes once over the first."""

    @abstractmethod
    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The value of each term in `weights`, on this replica's share of the global batch.

        Args:
            batch: This replica's rows of each stream.
            replicas: Gives `gather(rows)` and `offset(rows)`; see `tfxmodal.training.replicas`.

        Returns:
            Scalars by name: their mean over the replicas is the term on the global batch.
        """

    def trainable_variables(self) -> list:
        """Every trainable variable once, in a fixed order (networks may share layers)."""
        variables = {}
        for name in self.networks:
            for variable in self.networks[name].trainable_variables:
                variables.setdefault(id(variable), variable)
        return list(variables.values())


class Method(Learner):
    """A learner whose networks score images with texts."""

    def adapt(self, train: Pairs):
        """Takes from the training pairs what gradients do not learn, such as scaling: nothing here.

        It is kept in variables of the networks, so that a saved method has it without the pairs.
        """

    @abstractmethod
    def scorer(self) -> Scorer:
        """The scorer of the networks as they are now."""
