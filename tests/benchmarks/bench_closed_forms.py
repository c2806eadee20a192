"""Memory and time at MS-COCO's size: `python -m tests.benchmarks.bench_closed_forms`.

Each method has a process of its own. Features are made up where they are read, so that the peak is
that of the method and of TensorFlow.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.methods import METHODS

CLASSES, FACTORS = 80, 32


class MadeUp:
    """Rows `[n, dim]` of a few common factors under noise, the same for the same first row."""

    dtype = np.dtype(np.float32)

    def __init__(self, n: int, dim: int, seed: int):
        self.shape = (n, dim)
        self._look = np.random.default_rng(seed).standard_normal((FACTORS, dim), np.float32)
        self._seed = seed

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        numbers = np.arange(len(self))[rows]
        common = np.random.default_rng(numbers[0])
        common = common.standard_normal((len(numbers), FACTORS), np.float32)
        noise = np.random.default_rng([numbers[0], self._seed])
        noise = noise.standard_normal((len(numbers), self.shape[1]), np.float32)
        return common @ self._look + noise


def made_up(n: int, images: int, texts: int) -> Pairs:
    """Pairs of some of 80 classes, as many as MS-COCO has."""
    labels = np.random.default_rng(0).random((n, CLASSES)) < 3 / CLASSES
    ids = np.arange(n).astype(str)
    return Pairs(ids, MadeUp(n, images, 1), MadeUp(n, texts, 2), labels.astype(np.uint8))


def peak_gb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(method: str, flags: argparse.Namespace):
    """Prints seconds and the peak of memory of one method."""
    spec, sizes = METHODS[method], (flags.images, flags.texts)
    train, validation = (made_up(n, *sizes) for n in (flags.train, flags.validation))
    start = time.perf_counter()
    fitted = spec.fit(train, validation, spec.config())
    seconds = time.perf_counter() - start
    print(f"{method}: {seconds:.0f} s, peak {peak_gb():.2f} GB; chosen {dict(fitted.chosen)}")


def main():
    """Measures one method after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=82_081)
    parser.add_argument("--validation", type=int, default=5_000)
    parser.add_argument("--images", type=int, default=4_096)
    parser.add_argument("--texts", type=int, default=3_000)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["cca", "mcca", "pls", "ridge_cca", "mvda", "mvda_vc", "kcca"],
    )
    flags = parser.parse_args()
    print(f"{flags.train:,} pairs, {flags.images:,}-D and {flags.texts:,}-D", flush=True)
    for method in flags.methods:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(method, flags))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{method} failed.")


if __name__ == "__main__":
    main()
