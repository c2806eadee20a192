"""Speed of scoring all pairs by a relation network, ours against concatenation.

    python -m tests.benchmarks.bench_relation_scores

1,000 images x 1,000 texts, 300-D, 1,024 units, against the network on concatenated vectors, in a
tf.function on all cores, in chunks that fit the memory; its time is that of 100 images times ten.
Runs alternate. CPU seconds are of all cores together; unlike seconds, they change little on a
shared machine. Last: the best 10 of 25,000 texts for each of 5,000 images, and its memory.
"""

import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.heads.relation_network import RelationNetwork
from tfxmodal.retrieval.relation import RelationScorer

DIM, UNITS, N = 300, 1024, 1000
CHUNK = 20  # images whose pairs are concatenated at a time, the fastest of 1 to 50
SHARE = 10  # the part of the images that is concatenated
ROUNDS = 5


def main():
    """Prints seconds, ratios, errors against float64 and the memory of a large gallery."""
    rng = np.random.default_rng(0)
    images, texts = (rng.standard_normal((N, DIM), dtype=np.float32) for _ in range(2))
    product = rng.standard_normal((4096, UNITS), dtype=np.float32)
    print(f"{N:,} x {N:,} pairs, {DIM}-D, {UNITS:,} units, {os.cpu_count()} cores")
    for hidden_layers in (1, 2):
        relation = RelationNetwork(DIM, hidden_layers=hidden_layers, units=UNITS)
        ways = {
            "concatenation": concatenation(relation),
            "plain operations": scorer(relation, compiled=False).score,
        }
        if hidden_layers == 1:
            ways["XLA"] = scorer(relation).score
        print(f"{hidden_layers} hidden")
        calls = {name: (way, images, texts) for name, way in ways.items()}
        calls["concatenation"] = ways["concatenation"], images[: N // SHARE], texts
        times = alternating(calls)
        times["concatenation"] *= SHARE
        baseline = times["concatenation"]
        exact = in_float64(relation, images[:50], texts[:50])
        for name, way in ways.items():
            error = np.abs(way(images[:50], texts[:50]) - exact).max()
            report(name, times[name], baseline, f"error {error:.1e}")
        if hidden_layers == 1:
            compute_limit(times["XLA"])
    matrix = tf.constant(rng.standard_normal((UNITS, UNITS), dtype=np.float32))
    seconds = alternating({"": (tf.function(lambda x: x @ matrix), product)})[""]
    print(f"matrix product alone: {2 * 4096 * UNITS**2 / seconds[0] / 1e9:.0f} GFLOP/s")
    single_query(rng)
    large_gallery(rng)


def concatenation(relation):
    """Scores of all pairs from the fused vectors."""

    @tf.function
    def score(images, texts):
        n, m = len(images), len(texts)
        pairs = tf.repeat(images, m, axis=0), tf.tile(texts, [n, 1])
        return tf.reshape(relation(*pairs), [n, m])

    def score_all(images, texts):
        starts = range(0, len(images), CHUNK)
        return np.concatenate([score(images[i : i + CHUNK], texts).numpy() for i in starts])

    return score_all


def scorer(relation, **options):
    identity = keras.Sequential([keras.Input([DIM]), keras.layers.Identity()])
    return RelationScorer(identity, identity, relation, **options)


def alternating(calls) -> dict[str, np.ndarray]:
    """The best seconds and CPU seconds of each call; the first round traces and is left out."""
    times = {name: [] for name in calls}
    for _ in range(ROUNDS + 1):
        for name, (function, *arguments) in calls.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            function(*arguments)
            end, cpu_end = time.perf_counter(), time.process_time()
            times[name].append((end - start, cpu_end - cpu_start))
    return {name: np.min(rounds[1:], axis=0) for name, rounds in times.items()}


def report(name, seconds, baseline, note):
    ratio, cpu_ratio = baseline / seconds
    print(
        f"  {name:18}{seconds[0]:8.3f} s {seconds[1]:8.3f} s CPU   {ratio:5.1f} and "
        f"{cpu_ratio:5.1f} times concatenation   {note}",
        flush=True,
    )


def in_float64(relation, images, texts):
    rows = np.concatenate([np.repeat(images, len(texts), 0), np.tile(texts, [len(images), 1])], 1)
    rows = rows.astype(np.float64)
    for dense in relation.dense:
        rows = np.maximum(rows @ dense.kernel.numpy() + dense.bias.numpy(), 0)
    scores = rows @ relation.read_out.kernel.numpy() + relation.read_out.bias.numpy()
    return scores.reshape(len(images), len(texts))


def compute_limit(seconds):
    """The share of add, maximum and multiply-add a unit and pair on two 512-bit ports a core."""
    with open("/proc/cpuinfo") as lines:
        clock = next((float(line.split(":")[1]) for line in lines if "MHz" in line), 0) * 1e6
    least = 3 * UNITS * N * N / (2 * 16 * clock)
    share = least / seconds[1]
    print(f"  XLA reaches {share:.2f} of the limit of AVX-512 at the nominal {clock / 1e9:.1f} GHz")


def single_query(rng):
    """One image with 5,000 candidates, as when an index re-scores."""
    ours = scorer(RelationNetwork(DIM, units=UNITS))
    query, candidates = (rng.standard_normal((n, DIM), dtype=np.float32) for n in (1, 5000))
    times = alternating({"all": (ours.score, query, candidates), "one": (ours.score, query, query)})
    print(
        f"one image x 5,000 texts: {times['all'][0] * 1e3:.1f} ms; a single pair: "
        f"{times['one'][0] * 1e3:.2f} ms"
    )


def large_gallery(rng):
    ours = scorer(RelationNetwork(DIM, units=UNITS))
    images, texts = (rng.standard_normal((n, DIM), dtype=np.float32) for n in (5000, 25_000))
    ours.score(images[:20], texts[:20])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    ours.top_k(images, texts, 10)
    seconds = time.perf_counter() - start
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"top 10 of 5,000 x 25,000: {seconds:.1f} s; peak memory grows by {growth / 1024:.0f} MB")


if __name__ == "__main__":
    main()
