"""The mutual-information term of an SCL step, ours against the equations as they stand.

    python -m tests.benchmarks.bench_scl_step

Batch 256, 4,096-D images, 5,000-D texts, one shared discriminator; forward and backward, with the
gradients of every weight and code. The straightforward formulation goes through four terms and, in
each, the N - 1 cyclic shifts of the inputs; each shifted copy goes through the last layer of the
input branch, is concatenated with the codes and goes through three layers. (The branch's first
layer is left out of the loop: with it, all negatives need more than 23 GB.) It is timed inside a
tf.function, and eagerly as the released code runs.

CPU seconds are of all cores together; unlike seconds, they change little on a shared machine.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.heads.discriminator import PairDiscriminator, input_branch
from tfxmodal.losses.mutual_information import info_nce, mutual_information

N, DIMS = 256, (4096, 5000)


def main():
    """Prints seconds, ratios and differences, for 16 negatives and for all."""
    keras.utils.set_random_seed(0)
    last = keras.layers.Dense(512, activation="relu")
    branches = [input_branch(dim, last) for dim in DIMS]
    discriminator = PairDiscriminator()
    features = [tf.random.normal([N, dim]) for dim in DIMS]
    codes = [tf.math.l2_normalize(tf.random.uniform([N, 512]), 1) for _ in DIMS]
    weights = {id(w): w.value for m in (*branches, discriminator) for w in m.trainable_weights}

    def ours(negatives):
        inputs = [branch(x) for branch, x in zip(branches, features, strict=True)]
        inputs, own = tf.stack(inputs, 1), tf.stack(codes, 1)
        return discriminator.mean_loss(inputs, own, mutual_information, negatives)

    def straightforward(negatives):
        first = tf.concat([discriminator.from_input.kernel, discriminator.from_code.kernel], 0)
        total = 0.0
        for x, branch in zip(features, branches, strict=True):
            hidden = branch.layers[1](x)
            for z in codes:
                scores = []
                for shift in range(negatives + 1):
                    a = tf.concat([last(tf.roll(hidden, -shift, axis=0)), z], 1)
                    a = tf.nn.relu(a @ first + discriminator.from_input.bias)
                    a = tf.nn.relu(discriminator.second(a))
                    scores.append(discriminator.third(a)[:, 0])
                total += tf.reduce_mean(info_nce(tf.stack(scores)))
        return total

    def step(function, negatives):
        with tf.GradientTape() as tape:
            tape.watch(codes)
            loss = function(negatives)
        return [loss, *tape.gradient(loss, [*weights.values(), *codes])]

    for negatives in (16, N - 1):
        expected, *seconds = timed(tf.function(step), ours, negatives)
        print(f"{negatives} negatives: {report(seconds)}; loss {float(expected[0]):.5f}")
        for name, run in (("tf.function", tf.function(step)), ("eager", step)):
            results, *slow = timed(run, straightforward, negatives)
            ratios = " and ".join(f"{a / b:.1f}" for a, b in zip(slow, seconds, strict=True))
            print(
                f"  straightforward, {name}: {report(slow)}: {ratios} times ours; "
                f"largest relative difference of loss {difference(expected[:1], results[:1]):.1e}, "
                f"of a gradient {difference(expected[1:], results[1:]):.1e}",
                flush=True,
            )


def timed(run, *arguments):
    """Results, seconds and CPU seconds of the second call: the first traces."""
    run(*arguments)
    start, cpu_start = time.perf_counter(), time.process_time()
    results = run(*arguments)
    return results, time.perf_counter() - start, time.process_time() - cpu_start


def report(seconds):
    """Seconds and CPU seconds, as text."""
    return "{:.2f} s, {:.2f} s CPU".format(*seconds)


def difference(ours, theirs):
    """The largest difference, relative to each tensor's length.

    The last bias is left out: it cancels in the softmax, its gradient is rounding alone.
    """
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if np.linalg.norm(b) > 1e-6]
    return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)


if __name__ == "__main__":
    main()
