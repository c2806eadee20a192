"""An encoder under a classifier: before DRSL, by which its encoders come to know the classes.

DRSL, sections 3.2.1 and 3.4: VGG-19 is fine-tuned on the training images and the Text CNN is
trained on the training texts; then both give features. Neither section tells the classifier: here
it is one linear layer behind dropout, as in Kim's sentence CNN (EMNLP 2014, section 2).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.metrics import average_precision_score

from tfxmodal.data.pairs import Features, Pairs, labelled
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.classification import classification
from tfxmodal.methods.learner import Batch, Learner

BATCH = 32


class EncoderClassifier(Learner):
    """Learns the classes of images, or of texts, through an encoder.

    The loss is the cross-entropy of a softmax where no training row has several classes, else of a
    sigmoid a class. Rows without a class are left out.

    Args:
        train: Training rows with labels, of which `column` is what the encoder takes.
        column: `images` or `texts`.
        network: From raw rows to features `[batch, dim]`.
        dropout: Fraction of the features that is dropped before the classifier (Kim: .5).
        max_norm: Largest norm of a class' weights (Kim: 3), or None for no limit.
    """

    def __init__(
        self,
        train: Pairs,
        column: Literal["images", "texts"],
        network: keras.Model,
        dropout: float = 0.5,
        max_norm: float | None = None,
    ):
        self.exclusive = train.exclusive
        self.weights = {"cross_entropy": 1.0}
        self._column = column
        limit = max_norm and keras.constraints.MaxNorm(max_norm, axis=0)
        features = keras.layers.Dropout(dropout)(network.outputs[0])
        classify = keras.layers.Dense(train.labels.shape[1], kernel_constraint=limit)
        self.networks = {"classifier": keras.Model(network.inputs, classify(features))}
        self._predict = tf.function(
            lambda rows: self.networks["classifier"](rows, training=False),
            [tf.TensorSpec(network.inputs[0].shape, network.inputs[0].dtype)],
            autograph=False,
        )

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """All rows that have a class."""
        return {"pairs": labelled(train.labels)}

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The mean cross-entropy of this replica's rows."""
        logits = self.networks["classifier"](batch["pairs"][self._column], training=True)
        labels = batch["pairs"]["labels"]
        return {"cross_entropy": classification(logits, labels, self.exclusive)}

    def logits(self, rows: Features) -> np.ndarray:
        """Logits `[n, classes]` of raw rows, a batch at a time."""
        starts = range(0, len(rows), BATCH)
        return np.concatenate([self._predict(rows[i : i + BATCH]) for i in starts])

    def measure(self, pairs: Pairs) -> tuple[float, dict[str, float]]:
        """How well other rows that have a class are classified; higher is better.

        Returns:
            The number by which the best epoch is chosen, and it by its name: `accuracy`, or
            `class_map` where rows have several classes: the average precision of the rows by a
            class' logit, averaged over the classes that some row has.
        """
        rows = labelled(pairs.labels)
        logits, labels = self.logits(getattr(pairs, self._column))[rows], pairs.labels[rows]
        if self.exclusive:
            right = labels[np.arange(len(rows)), logits.argmax(axis=1)]
            name, score = "accuracy", float(right.mean())
        else:
            there = labels.any(axis=0)
            name = "class_map"
            score = float(average_precision_score(labels[:, there], logits[:, there]))
        return score, {name: score}
