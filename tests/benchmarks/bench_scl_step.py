"""The mutual-information term of an SCL step, ours against the equations as they stand.

    python -m tests.benchmarks.bench_scl_step

Batch 256, 4,096-D images, 5,000-D texts, one shared discriminator, forward and backward with the
gradients of every weight and code. The straightforward formulation goes through the four terms
and the N - 1 cyclic shifts of the inputs; each shifted copy goes through the shared layer of the
input branch, is concatenated with the codes and goes through three layers. It keeps the first layer
of the input branch (4,096 or 5,000 to 1,024) out of the loop, which the released code does not.

CPU seconds are of all cores together; unlike seconds, they hardly change when the machine is shared.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.heads.discriminator import PairDiscriminator, input_branch
from tfxmodal.losses.mutual_information import info_nce, mutual_information

N, IMAGE_DIM, TEXT_DIM = 256, 4096, 5000


def main():
    """Prints seconds, ratio and differences, for all negatives and for 16."""
    keras.utils.set_random_seed(0)
    last = keras.layers.Dense(512, activation="relu")
    branches = [input_branch(dim, last_layer=last) for dim in (IMAGE_DIM, TEXT_DIM)]
    discriminator = PairDiscriminator()
    features = [tf.random.normal([N, dim]) for dim in (IMAGE_DIM, TEXT_DIM)]
    codes = [tf.math.l2_normalize(tf.nn.relu(tf.random.normal([N, 512])), 1) for _ in range(2)]
    variables = [v.value for m in (*branches, discriminator) for v in m.trainable_variables]
    variables = list({id(v): v for v in variables}.values())

    def ours(negatives):
        h = [branch(x) for branch, x in zip(branches, features, strict=True)]
        return discriminator.mean_loss(
            tf.stack(h, 1), tf.stack(codes, 1), mutual_information, negatives
        )

    def straightforward(negatives):
        kernels = [discriminator.from_input.kernel, discriminator.from_code.kernel]
        total = 0.0
        for branch, x in zip(branches, features, strict=True):
            hidden = branch.layers[1](x)
            for z in codes:
                scores = []
                for shift in range(negatives + 1):
                    h = last(tf.roll(hidden, -shift, axis=0))
                    a = tf.concat([h, z], 1) @ tf.concat(kernels, 0)
                    a = tf.nn.relu(a + discriminator.from_input.bias)
                    a = tf.nn.relu(discriminator.second(a))
                    scores.append(discriminator.third(a)[:, 0])
                total += tf.reduce_mean(info_nce(tf.stack(scores)))
        return total

    for negatives in (16, N - 1):
        results, seconds, cpu = {}, {}, {}
        for function in (ours, straightforward):

            @tf.function
            def step(function=function, negatives=negatives):
                with tf.GradientTape() as tape:
                    tape.watch(codes)
                    loss = function(negatives)
                return loss, tape.gradient(loss, [*variables, *codes])

            step()  # Traces.
            start, cpu_start = time.perf_counter(), time.process_time()
            results[function] = step()
            seconds[function] = time.perf_counter() - start
            cpu[function] = time.process_time() - cpu_start
        (loss, gradients), (expected, expected_gradients) = results[ours], results[straightforward]
        difference = max(
            np.abs(a - b).max() / np.abs(b).max()
            for a, b in zip(gradients, expected_gradients, strict=True)
            if np.abs(b).max() > 1e-6  # The last bias cancels in the softmax: its gradient is 0.
        )
        print(
            f"{negatives} negatives: {seconds[ours]:.2f} s ({cpu[ours]:.2f} s CPU), straightforward"
            f" {seconds[straightforward]:.2f} s ({cpu[straightforward]:.2f} s CPU), "
            f"{seconds[straightforward] / seconds[ours]:.1f} times as fast "
            f"({cpu[straightforward] / cpu[ours]:.1f} in CPU);\n    loss {float(loss):.6f}, "
            f"difference {abs(float(loss - expected)):.1e}; largest relative gradient difference "
            f"{difference:.1e}"
        )


if __name__ == "__main__":
    main()
