"""Memory and time of ridge CCA at MS-COCO's size: `python -m tests.benchmarks.bench_ridge_cca`.

Features are made up where they are read, so that the peak is that of the method and of TensorFlow.
"""

import argparse
import resource
import time

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.methods.closed_form.ridge_cca import RidgeCCAConfig, fit


class MadeUp:
    """Rows `[n, dim]` of a few common factors under noise, the same whenever they are asked for."""

    dtype = np.dtype(np.float32)

    def __init__(self, n: int, dim: int, seed: int, factors: int = 32):
        self.shape = (n, dim)
        self._look = np.random.default_rng(seed).standard_normal((factors, dim), np.float32)
        self._seed = seed

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        common = np.random.default_rng(start).standard_normal((stop - start, 32), np.float32)
        noise = np.random.default_rng([start, self._seed])
        noise = noise.standard_normal((stop - start, self.shape[1]), np.float32)
        return common @ self._look + noise


def made_up(n: int, images: int, texts: int) -> Pairs:
    """Pairs without labels."""
    return Pairs(np.arange(n).astype(str), MadeUp(n, images, 1), MadeUp(n, texts, 2))


def peak_gb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main():
    """Prints seconds and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=82_081)
    parser.add_argument("--validation", type=int, default=5_000)
    parser.add_argument("--images", type=int, default=4_096)
    parser.add_argument("--texts", type=int, default=3_000)
    flags = parser.parse_args()
    sizes = flags.images, flags.texts
    start = time.perf_counter()
    fitted = fit(made_up(flags.train, *sizes), made_up(flags.validation, *sizes), RidgeCCAConfig())
    print(
        f"{flags.train:,} pairs, {flags.images:,}-D and {flags.texts:,}-D: "
        f"{time.perf_counter() - start:.0f} s, peak {peak_gb():.2f} GB; chosen {fitted.chosen}"
    )


if __name__ == "__main__":
    main()
