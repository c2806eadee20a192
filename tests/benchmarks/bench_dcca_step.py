"""A step of DCCA against a step of DSCMR on the same networks.

    python -m tests.benchmarks.bench_dcca_step

1,000 pairs of 4,096-D images and 300-D texts, DCCA's networks; forward and backward, with the
gradients of every weight. Seconds are medians of runs that take turns. The aim is a ratio of 2 at
the most.

CPU seconds are of all cores together; unlike seconds, they change little on a shared machine.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tests.training.tiny import OneReplica
from tfxmodal.inputs.spec import InputSpec, MethodInputs
from tfxmodal.methods.gradient.dcca import DCCA, DCCAConfig
from tfxmodal.methods.gradient.dscmr import DSCMR, DSCMRConfig

N, DIMS, CLASSES, RUNS = 1000, (4096, 300), 20, 7


def main():
    """Prints seconds and ratios for several dimensions of the common space."""
    keras.utils.set_random_seed(0)
    inputs = MethodInputs(*(InputSpec("global", (dim,)) for dim in DIMS), CLASSES)
    images, texts = (tf.random.normal([N, dim]) for dim in DIMS)
    labels = tf.one_hot(tf.range(N) % CLASSES, CLASSES)
    batch = {"pairs": {"images": images, "texts": texts, "labels": labels}}
    for dim in (10, 100, 500):
        dcca = DCCA(inputs, DCCAConfig(embedding_dim=dim))
        dscmr = DSCMR(inputs, DSCMRConfig(embedding_dim=dim))
        dscmr.networks |= {name: dcca.networks[name] for name in ("image_network", "text_network")}
        ours, other = timed([step_of(dcca), step_of(dscmr)], batch)
        ratios = " and ".join(f"{a / b:.2f}" for a, b in zip(ours, other, strict=True))
        print(
            f"{dim} dimensions: DCCA {report(ours)}; DSCMR {report(other)}: {ratios} times",
            flush=True,
        )


def step_of(method):
    """The weighted loss and its gradients, compiled."""
    variables = method.trainable_variables("image_network", "text_network")

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            terms = method.loss_terms(batch, OneReplica())
            total = tf.add_n([weight * terms[name] for name, weight in method.weights.items()])
        return total, tape.gradient(total, [variable.value for variable in variables])

    return step


def timed(steps, batch):
    """Median seconds and CPU seconds of each step."""
    for step in steps:
        step(batch)
    seconds = np.zeros([len(steps), RUNS, 2])
    for run in range(RUNS):
        for number, step in enumerate(steps):
            start, cpu_start = time.perf_counter(), time.process_time()
            float(step(batch)[0])
            seconds[number, run] = time.perf_counter() - start, time.process_time() - cpu_start
    return np.median(seconds, axis=1)


def report(seconds):
    """Seconds and CPU seconds, as text."""
    return "{:.3f} s, {:.3f} s CPU".format(*seconds)


if __name__ == "__main__":
    main()
