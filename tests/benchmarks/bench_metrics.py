"""Speed and memory of the metrics: `python -m tests.benchmarks.bench_metrics`.

The class metrics are set against the loop by which the DSCMR family of releases computes mAP@all:
one argsort a query, then Python over the ranking.
"""

import resource
import time
import tracemalloc

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation.class_metrics import class_metrics
from tfxmodal.evaluation.metrics import mean, ranks, relevance
from tfxmodal.evaluation.protocol import measure_queries
from tfxmodal.retrieval.cosine import GivenVectors

MOST_GIGABYTES = 2.0
"""That all metrics of each query of 5,000 images and 25,000 captions may take."""


def loop_mean_average_precision(scores, query_classes, gallery_classes):
    values = []
    for row, query_class in zip(scores, query_classes, strict=True):
        found, total = 0, 0.0
        for rank, item in enumerate(np.argsort(-row), start=1):
            if gallery_classes[item] == query_class:
                found += 1
                total += found / rank
        values.append(total / found)
    return np.mean(values)


def timed(function, repeats: int = 1) -> tuple[float, object]:
    """The best time of some repeats, and the result."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def peak_megabytes(function) -> float:
    """Most memory that NumPy and Python held at once during the call, beside what there was."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def bench_class_metrics(rng):
    classes = rng.integers(0, 20, 5000)
    labels = np.eye(20, dtype=np.uint8)[classes]
    scores = rng.standard_normal((5000, 5000), dtype=np.float32) + (labels @ labels.T) * 0.5
    scores = scores.astype(np.float32)
    slow, expected = timed(lambda: loop_mean_average_precision(scores, classes, classes))
    fast, found = timed(lambda: class_metrics(scores, relevance(labels, labels)), repeats=3)
    actual = mean(found["map_all"])
    assert abs(actual - expected) < 1e-6, (actual, expected)
    print("Metrics of 5,000 x 5,000 scores, 20 classes")
    print(f"  mAP@all, Python loop       {slow:7.2f} s")
    print(f"  all {len(found)}, ours                {fast:7.2f} s   {slow / fast:.0f} times faster")


def bench_ranks(rng):
    scores = rng.standard_normal((5000, 25_000), dtype=np.float32)
    images, owners = np.arange(5000), np.repeat(np.arange(5000), 5)

    def both_directions():
        ranks(scores, np.equal.outer(images, owners))
        ranks(scores.T, np.equal.outer(owners, images))

    seconds, _ = timed(both_directions, repeats=3)
    memory = peak_megabytes(both_directions)
    print("Ranks for R@K on 5,000 images x 25,000 captions")
    print(f"  both directions, ours      {seconds:7.2f} s   {memory:.0f} MB")


def bench_queries(rng):
    """Comes first: the peak is that of the whole process."""
    owners = np.repeat(np.arange(5000), 5)
    images, texts = (rng.standard_normal((n, 512), dtype=np.float32) for n in (5000, 25_000))
    labels = (rng.random((5000, 80)) < 0.03).astype(np.uint8)
    ids = np.arange(25_000).astype(str)
    pairs = Pairs(ids, images[owners], texts, labels[owners], image_ids=owners)
    seconds, found = timed(lambda: measure_queries(GivenVectors(), pairs))
    assert [len(of_way["map_all"]) for of_way in found.values.values()] == [5000, 25_000]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    assert peak < MOST_GIGABYTES, peak
    print("All metrics of each query of 5,000 images x 25,000 captions, 80 classes, 512-D")
    print(f"  both directions, ours      {seconds:7.2f} s   {peak:.2f} GB, the whole process")


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    bench_queries(generator)
    bench_class_metrics(generator)
    bench_ranks(generator)
