"""Recall and speed of an index over many texts: `python -m tests.benchmarks.bench_index --run RUN`.

The gallery is the run's own texts, mixed two by two and perturbed, as embeddings; the queries are
images of its test split. All times are ratios to scoring the whole gallery exactly, in one run.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfxmodal.commands import cli
from tfxmodal.evaluation.figures import curve_figure, figure_png
from tfxmodal.inputs.config import load
from tfxmodal.retrieval.relation import RelationScorer
from tfxmodal.retrieval.scorer import Scorer, best
from tfxmodal.search.new_index import build_index
from tfxmodal.training.trained_run import load_run

K = 10
SHARES = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01)
"""Of the gallery, re-scored; 0 is the least that an index does."""


def mixed(real: np.ndarray, n: int, rng, noise: float = 0.05) -> np.ndarray:
    """Convex mixes `[n, d]` of two real embeddings each, plus noise, within the encoder's range."""
    first, second = rng.integers(0, len(real), (2, n))
    share = rng.random((n, 1), np.float32)
    items = share * real[first] + (1 - share) * real[second]
    items += np.float32(noise * real.std()) * rng.standard_normal(items.shape, np.float32)
    return np.clip(items, real.min(axis=0), real.max(axis=0), out=items)


@dataclass(frozen=True)
class Point:
    """An index at one share: recall@10 of the exact ranking, and time."""

    rescored: float
    recall: float
    seconds: float


def measure(index, queries: np.ndarray, true: np.ndarray) -> list[Point]:
    """The curve of an index; `true` are the exact ids `[q, k]`."""
    points = {}
    for share in SHARES:
        index.rescore = share
        rescored = index.candidates(K, len(index)) / len(index)
        if rescored in points:  # the least, in a small gallery
            continue
        index.search(queries[:2], K)
        start = time.perf_counter()
        found, _ = index.search(queries, K)
        seconds = (time.perf_counter() - start) / len(queries)
        recall = np.mean([np.isin(t, f).mean() for f, t in zip(found, true, strict=True)])
        points[rescored] = Point(rescored, recall, seconds)
    return list(points.values())


def exact(scorer: Scorer, queries: np.ndarray, items: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds a query and the ids of scoring everything, all queries at once."""
    scorer.top_k(queries, items[:5000], K)
    start = time.perf_counter()
    rows, _ = best(scorer.text_scores(queries, items), K)
    return (time.perf_counter() - start) / len(queries), rows.astype(str)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--kinds", nargs="+", default=["flat", "scan"])
    parser.add_argument("--figure", type=Path, help="PNG file of the curves")
    flags = parser.parse_args()
    if flags.run is None:
        parser.error("a trained run is needed: python trainers/train_drsl.py, then --run RUN")

    run = load_run(flags.run)
    scorer, rng = run.method.scorer(), np.random.default_rng(0)
    data = run.prepare(load(run.settings.data), run.settings.data, ["train", "test"]).features
    items = mixed(scorer.embed_texts(data.train.texts), flags.items, rng)
    queries = data.test.images[rng.permutation(len(data.test))[: flags.queries]]
    queries = scorer.embed_images(queries)

    whole, true = exact(scorer, queries, items)
    print(f"{len(items):,} texts x {items.shape[1]}, {len(queries)} queries, exact scoring of all:")
    print(f"{'':>6} {'':>10} {'':>10} {1e3 * whole:8.2f} ms a query, by XLA")
    networks = (run.method.networks[name] for name in ("image_encoder", "text_encoder", "relation"))
    plain, _ = exact(RelationScorer(*networks, compiled=False), queries[:8], items)
    print(f"{'':>6} {'':>10} {'':>10} {1e3 * plain:8.2f} ms a query, by plain operations")
    curves = {"Re-scored, % of the gallery": {}, "Milliseconds a query": {}}
    for kind in flags.kinds:
        train = data.train.images, data.train.texts
        index = build_index(scorer, "bench", "texts", *train, kind=kind)
        start = time.perf_counter()
        index.add([str(row) for row in range(len(items))], items)
        print(f"{kind}, built in {time.perf_counter() - start:.0f} s")
        points = measure(index, queries, true)
        for point in points:
            print(
                f"{kind:>6} {point.rescored:10.3%} {point.recall:10.3f} "
                f"{1e3 * point.seconds:8.2f} ms a query {whole / point.seconds:6.0f} and "
                f"{plain / point.seconds:6.0f} times faster"
            )
        recalls = [point.recall for point in points]
        percent, milliseconds = (
            [factor * getattr(point, name) for point in points]
            for factor, name in ((100, "rescored"), (1e3, "seconds"))
        )
        for lines, x in zip(curves.values(), (percent, milliseconds), strict=True):
            lines[kind] = x, recalls
    if flags.figure:
        figure = curve_figure(curves, "", "Recall@10")
        for panel in figure.axes:
            panel.set_ylim(0.9, 1.005)
        flags.figure.write_bytes(figure_png(figure))


if __name__ == "__main__":
    cli.run(main)
