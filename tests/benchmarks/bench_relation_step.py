"""The relation network in a DRSL step, `all_pairs` against plain Keras layers on all fused pairs.

    python -m tests.benchmarks.bench_relation_step

Features of 300, 1,024 units; forward and backward, with the gradients of every weight and feature.
The plain formulation repeats images, tiles texts, fuses them and goes through the layers, inside a
tf.function as ours. Seconds are medians of runs that take turns.

CPU seconds are of all cores together; unlike seconds, they change little on a shared machine.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tests.heads.test_relation_network import layers, loss_and_gradients, plain_pairs, plain_stack
from tfxmodal.heads.relation_network import RelationNetwork

DIM, RUNS = 300, 7
CASES = (
    (200, "concatenation", 1, False),
    (100, "concatenation", 1, False),
    (200, "concatenation", 1, True),
    (200, "multiplication", 1, False),
    (200, "concatenation", 2, True),
)


def main():
    """Prints seconds, ratios and differences."""
    keras.utils.set_random_seed(0)
    for n, fusion, hidden_layers, batch_norm in CASES:
        network = RelationNetwork(DIM, fusion, hidden_layers, batch_norm=batch_norm)
        data = [tf.random.normal(size) for size in ((n, DIM), (n, DIM), (n, n))]
        (ours, fast), (plain, slow) = timed([our_step(network), plain_step(network)], data)
        ratios = " and ".join(f"{b / a:.1f}" for a, b in zip(fast, slow, strict=True))
        print(
            f"batch {n}, {fusion}, {hidden_layers} hidden{', batch norm' * batch_norm}: "
            f"ours {report(fast)}; plain {report(slow)}: {ratios} times ours; "
            f"largest relative difference {difference(ours, plain):.1e}",
            flush=True,
        )


def our_step(network):
    """The step through `all_pairs`."""

    def scores(images, texts):
        return network.all_pairs(images, texts, training=True)

    return tf.function(lambda *data: loss_and_gradients(scores, layers(network), *data))


def plain_step(network):
    """The step through Keras' layers, with the same weights."""
    stack = plain_stack(network)

    def scores(images, texts):
        return plain_pairs(stack, network.fusion, images, texts, training=True)

    return tf.function(lambda *data: loss_and_gradients(scores, stack.layers, *data))


def timed(steps, data):
    """Of each step its results and the medians of seconds and CPU seconds; first calls trace."""
    results, clocks = [step(*data) for step in steps], [[] for _ in steps]
    for _ in range(RUNS):
        for step, runs in zip(steps, clocks, strict=True):
            start, cpu_start = time.perf_counter(), time.process_time()
            step(*data)[0].numpy()
            runs.append((time.perf_counter() - start, time.process_time() - cpu_start))
    return [(result, np.median(runs, 0)) for result, runs in zip(results, clocks, strict=True)]


def report(seconds):
    """Seconds and CPU seconds, as text."""
    return "{:.3f} s, {:.3f} s CPU".format(*seconds)


def difference(ours, theirs):
    """The largest difference, relative to each tensor's length.

    A bias before batch normalisation is left out: it cancels, its gradient is rounding alone.
    """
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if np.linalg.norm(b) > 1e-6]
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)


if __name__ == "__main__":
    main()
