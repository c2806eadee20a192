"""A method of two updates, and one of two stages, small enough for a test."""

import keras
import numpy as np
import tensorflow as tf

from tests.training.tiny import make_pairs
from tfxmodal.methods.learner import Method, Stage, Update
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy


def network(inputs: int, outputs: int, dropout: float = 0.0) -> keras.Model:
    rows = keras.Input([inputs])
    hidden = keras.layers.Dense(8, activation="tanh")(rows)
    hidden = keras.layers.Dropout(dropout)(hidden)
    return keras.Model(rows, keras.layers.Dense(outputs)(hidden))


class Adversarial(Method):
    """Encoders that bring pairs together, and an adversary that tells the modalities apart."""

    def __init__(self, optimizer=keras.optimizers.SGD, dropout=0.0, first="encoders"):
        self._optimizer, self._first = optimizer, first
        self.networks = {
            "image_encoder": network(6, 4, dropout),
            "text_encoder": network(5, 4, dropout),
            "adversary": network(4, 1),
        }

    def streams(self, train, seed):
        return {"pairs": np.arange(len(train))}

    def embed(self, batch):
        rows = batch["pairs"]
        return (
            self.networks["image_encoder"](rows["images"], training=True),
            self.networks["text_encoder"](rows["texts"], training=True),
        )

    def tells_apart(self, batch):
        """The adversary's loss, small where it knows images from texts."""
        images, texts = (self.networks["adversary"](z)[:, 0] for z in self.embed(batch))
        return tf.reduce_mean(tf.nn.softplus(-images) + tf.nn.softplus(texts))

    def encoder_losses(self, batch, replicas):
        images, texts = self.embed(batch)
        distance = tf.reduce_mean(tf.math.squared_difference(images, texts))
        return {"distance": distance, "confusion": -self.tells_apart(batch)}

    def adversary_losses(self, batch, replicas):
        return {"adversary": self.tells_apart(batch)}

    def updates(self):
        encoders = self.trainable_variables("image_encoder", "text_encoder")
        adversary = self.trainable_variables("adversary")
        weights = {"distance": 1.0, "confusion": 0.5}, {"adversary": 2.0}
        updates = [
            Update("encoders", self.encoder_losses, weights[0], encoders, self._optimizer),
            Update("adversary", self.adversary_losses, weights[1], adversary, twice_as_fast),
        ]
        return updates if self._first == "encoders" else updates[::-1]

    def scorer(self):
        return CosineScorer(self.networks["image_encoder"], self.networks["text_encoder"])


def twice_as_fast(learning_rate):
    return keras.optimizers.SGD(2 * learning_rate, momentum=0.9)


class Staged(Adversarial):
    """The encoders alone, without validation; then they and the adversary."""

    def __init__(self, validated=(False, True), **options):
        super().__init__(**options)
        self._validated = validated

    def stages(self):
        encoders, adversary = self.updates()
        return [
            Stage("alone", [encoders], epochs=3, validated=self._validated[0]),
            Stage("against", [adversary, encoders], validated=self._validated[1]),
        ]


def make(folder, method_class=Adversarial, strategy=None, options=None, **training):
    """A method and its trainer."""
    keras.utils.set_random_seed(0)
    strategy = strategy or make_strategy("CPU:0")
    training = {"epochs": 4, "batch_size": 16, "learning_rate": 0.05, "patience": 0} | training
    train = make_pairs()
    with strategy.scope():
        method = method_class(**options or {})
        return method, Trainer(method, train, TrainingConfig(**training), strategy, folder)


def score_of(method, judge="adversary"):
    """A score that goes up and down with the weights."""
    return lambda: (float(np.sin(1e3 * method.networks[judge].get_weights()[0].sum())), {})
