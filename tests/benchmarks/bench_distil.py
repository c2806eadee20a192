"""A student beside its teacher: `python -m tests.benchmarks.bench_distil --student RUN`.

mAP@all on the test split, and the time of a query among many texts: made of the features of real
ones, mixed two by two, so that both models embed the same gallery. All in one run.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.bench_index import K, exact, mixed
from tfxmodal.commands import cli
from tfxmodal.evaluation.protocol import evaluate_pairs
from tfxmodal.inputs.config import load
from tfxmodal.search.new_index import build_index
from tfxmodal.training.trained_run import load_run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", type=Path, required=True, help="a run of distil")
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--queries", type=int, default=64)
    flags = parser.parse_args()

    student = load_run(flags.student)
    runs = {"teacher": load_run(student.settings.config.teacher), "student": student}
    settings, rng = student.settings, np.random.default_rng(0)
    data = student.prepare(load(settings.data), settings.data, ["train", "test"]).features
    texts = mixed(np.asarray(data.train.texts), flags.items, rng)
    images = data.test.images[rng.permutation(len(data.test))[: flags.queries]]
    ids = [str(row) for row in range(len(texts))]
    base = None
    print(f"{len(texts):,} texts, {len(images)} image queries, the best {K} of each")
    for name, run in runs.items():
        scorer = run.scorer()
        reached = evaluate_pairs(scorer, data.test)["map_all"]["average"]
        items, queries = scorer.embed_texts(texts), scorer.embed_images(images)
        seconds, true = exact(scorer, queries, items)
        base = base or seconds
        print(f"{name}: mAP@all {reached:.3f}")
        print(f"  all scored   {1e3 * seconds:8.2f} ms a query {base / seconds:8.0f} times as fast")
        for kind in ("flat", "scan"):
            train = data.train.images, data.train.texts
            index = build_index(scorer, "bench", "texts", *train, kind=kind)
            index.add(ids, items)
            index.search(queries[:2], K)
            start = time.perf_counter()
            found, _ = index.search(queries, K)
            seconds = (time.perf_counter() - start) / len(queries)
            recall = np.mean([np.isin(t, f).mean() for f, t in zip(found, true, strict=True)])
            print(
                f"  {kind} index  {1e3 * seconds:8.2f} ms a query {base / seconds:8.0f} times as "
                f"fast, recall@{K} of the exact ranking {recall:.3f}"
            )


if __name__ == "__main__":
    cli.run(main)
