"""Recall, speed, writes, size of stores: `python -m tests.benchmarks.bench_stores --run RUN`.

The gallery is the images of a run whose score is a dot product, mixed two by two and perturbed; the
queries are texts of its test split, one at a time. A process of its own opens the store, searches
it, and is measured; it goes on searching while this one writes. `--threads 1` is one core.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.bench_index import mixed
from tfxmodal.commands import cli
from tfxmodal.retrieval.faiss_package import load_faiss
from tfxmodal.search.stores import STORES, About, StoredItems, open_store, parse

K = 10
PARTS = 100
"""Values of the metadata column `part`: a filter by one of them leaves 1 % of the gallery."""

WRITTEN, AT_ONCE = 1000, 100
"""Items that are replaced, and that are deleted, and how many of them in one write."""


def embeddings(run_dir: Path, n: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """A gallery `[n, d]` and queries `[q, d]`."""
    from tfxmodal.inputs.config import load
    from tfxmodal.training.trained_run import load_run

    run, rng = load_run(run_dir), np.random.default_rng(0)
    scorer, data = run.scorer(), run.settings.data
    if not scorer.is_dot_product:
        raise SystemExit(f"{run_dir} scores by no dot product: bench_index measures it.")
    features = run.prepare(load(data), data, ["train", "test"]).features
    items = mixed(scorer.embed_images(features.train.images), n, rng)
    asked = scorer.embed_texts(features.test.texts[: len(features.test)])
    asked = asked[rng.permutation(len(asked))[:queries]]
    return items / np.linalg.norm(items, axis=1, keepdims=True), asked


def exact(queries: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows of the best, and seconds a query of one product with all items."""
    start = time.perf_counter()
    products = [query @ items.T for query in queries]
    seconds = (time.perf_counter() - start) / len(queries)
    return np.array([np.argpartition(-each, K)[:K] for each in products]), seconds


def resident() -> int:
    """Bytes of this process that are in memory, pages of files among them.

    The greatest size that the system tells of a process begins with that of its parent.
    """
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def searched(folder: Path, queries: np.ndarray, true: dict[str, np.ndarray], pipe, threads: int):
    """What a process of its own measures; then it searches on until it is told to stop."""
    load_faiss().omp_set_num_threads(threads)
    before = resident()
    store = open_store(folder, "bench")
    wheres = {"all": None, "filtered": parse("part = 7", store.columns)}
    found = {}
    for name, where in wheres.items():
        store.search(queries[:1], K, where)
        times, recalls = [], []
        for query, best in zip(queries, true[name], strict=True):
            start = time.perf_counter()
            (hits,) = store.search(query[None], K, where)
            times.append(time.perf_counter() - start)
            recalls.append(np.isin(best, np.array(hits.ids, int)).mean())
        found[name] = np.mean(recalls), np.median(times), np.quantile(times, 0.99)
    pipe.send(found | {"memory": resident() - before})
    times = []
    while not pipe.poll():
        start = time.perf_counter()
        store.search(queries[len(times) % len(queries)][None], K)
        times.append(time.perf_counter() - start)
    pipe.send(times)


def write(store, items: np.ndarray) -> float:
    """Seconds of replacing and of deleting `WRITTEN` items."""
    step = AT_ONCE if store.is_shared else WRITTEN  # Else each write writes everything.
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(items))[: 2 * WRITTEN]
    start = time.perf_counter()
    for i in range(0, WRITTEN, step):
        some = rows[i : i + step]
        metadata = {"part": (some % PARTS).tolist()}
        store.upsert(StoredItems([str(row) for row in some], items[some[::-1]], None, metadata))
    for i in range(WRITTEN, 2 * WRITTEN, step):
        assert store.delete([str(row) for row in rows[i : i + step]]) == step
    return time.perf_counter() - start


def size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(name: str, folder: Path, items, queries, true, whole: float, threads: int):
    """Builds a store, and prints what it does."""
    load_faiss().omp_set_num_threads(threads)
    store = STORES[name](About("bench", "images"), folder)
    metadata = {"part": (np.arange(len(items)) % PARTS).tolist()}
    start = time.perf_counter()
    store.add(StoredItems([str(row) for row in range(len(items))], items, None, metadata))
    added = time.perf_counter() - start
    store.optimize()
    built = time.perf_counter() - start
    print(f"{name}: added in {added:.0f} s, ready in {built:.0f} s, {size(folder) / 1e6:,.0f} MB")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=searched, args=(folder, queries, true, theirs, threads))
    process.start()
    found = ours.recv()
    for of in ("all", "filtered"):
        recall, median, slowest = found[of]
        print(
            f"{name}: {of}: recall@{K} {recall:.3f}, {1e3 * median:.2f} ms a query (99 %: "
            f"{1e3 * slowest:.1f}), {whole / median:.1f} times faster than one product with all"
        )
    print(f"{name}: a process that searches takes {found['memory'] / 1e6:,.0f} MB")
    seconds = write(store, items)
    ours.send("stop")
    meanwhile = ours.recv()
    process.join()
    print(
        f"{name}: {WRITTEN:,} replaced and {WRITTEN:,} deleted in {seconds:.1f} s, meanwhile "
        f"{len(meanwhile)} searches of {1e3 * np.median(meanwhile):.2f} ms",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--stores", nargs="+", default=["faiss", "lancedb"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="where the stores are made, by default in /tmp")
    flags = parser.parse_args()
    items, queries = embeddings(flags.run, flags.items, flags.queries)
    print(f"{len(items):,} vectors x {items.shape[1]} ({items.nbytes / 1e6:,.0f} MB)")
    rows, whole = exact(queries, items)
    part = np.arange(7, len(items), PARTS)
    of_part, _ = exact(queries, items[part])
    true = {"all": rows, "filtered": part[of_part]}
    folder = Path(tempfile.mkdtemp(dir=flags.folder))
    try:
        for name in flags.stores:
            measure(name, folder / name, items, queries, true, whole, flags.threads)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    cli.run(main)
