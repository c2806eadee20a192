"""What an epoch on a small set costs besides its arithmetic.

    python -m tests.benchmarks.bench_epoch

2,173 pairs (Wikipedia) in batches of 100, networks so small that their arithmetic is nothing. Ours,
one compiled call that gathers each batch from memory, is set against the usual loop: Python over a
shuffled tf.data pipeline, a tf.function a step; without a strategy and under MirroredStrategy, as
ours runs. Times are the best of several epochs.
"""

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.data.pairs import Pairs
from tfxmodal.methods.learner import Method
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy

ROWS, BATCH, EPOCHS = 2173, 100, 20


class Smallest(Method):
    """One layer a modality and the distance of what they give."""

    def __init__(self):
        self.weights = {"distance": 1.0}
        self.networks = {}
        for kind in ("image", "text"):
            inputs = keras.Input([8])
            self.networks[kind] = keras.Model(inputs, keras.layers.Dense(4)(inputs))

    def streams(self, train, seed):
        """All rows."""
        return {"pairs": np.arange(len(train))}

    def loss_terms(self, batch, replicas):
        """The mean squared distance."""
        images = self.networks["image"](batch["pairs"]["images"])
        texts = self.networks["text"](batch["pairs"]["texts"])
        return {"distance": tf.reduce_mean(tf.math.squared_difference(images, texts))}

    def scorer(self):
        """None: nothing is retrieved here."""


def ours(train) -> float:
    """Seconds of an epoch of the training loop: its rows, its steps, its losses."""
    strategy = make_strategy()
    with tempfile.TemporaryDirectory() as folder, strategy.scope():
        config = TrainingConfig(batch_size=BATCH, epochs=EPOCHS)
        trainer = Trainer(Smallest(), train, config, strategy, Path(folder))

    def epoch(number):
        plan = trainer.plan(number)
        trainer._steps.run(plan, 0, ROWS // BATCH)

    return best(epoch)


def python_loop(train, strategy=None) -> float:
    """Seconds of an epoch of the usual loop."""
    columns = {"images": train.images, "texts": train.texts}
    batches = tf.data.Dataset.from_tensor_slices(columns).shuffle(ROWS)
    batches = batches.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    with (strategy or tf.distribute.get_strategy()).scope():
        method, optimizer = Smallest(), keras.optimizers.Adam()
        variables = method.trainable_variables()
        optimizer.build(variables)
    if strategy:
        batches = strategy.experimental_distribute_dataset(batches)

    def update(batch):
        with tf.GradientTape() as tape:
            loss = method.loss_terms({"pairs": batch}, None)["distance"]
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    @tf.function
    def step(batch):
        if strategy is None:
            return update(batch)
        return strategy.reduce("sum", strategy.run(update, args=(batch,)), axis=None)

    def epoch(number):
        np.mean([step(batch).numpy() for batch in batches])

    return best(epoch)


def best(epoch) -> float:
    """Seconds of the fastest epoch; the first ones compile."""
    seconds = []
    for number in range(1, EPOCHS + 1):
        start = time.perf_counter()
        epoch(number)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main():
    """Prints milliseconds an epoch and ratios."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, ROWS, 8), dtype=np.float32)
    train = Pairs(np.arange(ROWS).astype(str), *features)
    fast = ours(train)
    print(f"An epoch of {ROWS} pairs in {ROWS // BATCH} steps")
    print(f"  ours                                     {1000 * fast:7.1f} ms")
    for name, strategy in (("no strategy", None), ("MirroredStrategy", make_strategy())):
        slow = python_loop(train, strategy)
        label = f"Python over tf.data, {name}"
        print(f"  {label:40s} {1000 * slow:7.1f} ms   {slow / fast:.1f} times ours")


if __name__ == "__main__":
    main()
