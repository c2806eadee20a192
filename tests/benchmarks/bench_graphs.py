"""Memory and time of JRL or GSS-SL: `python -m tests.benchmarks.bench_graphs --method jrl`.

Features are made up where they are read, so that the peak is that of the method and of TensorFlow.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from tests.benchmarks.bench_ridge_cca import made_up, peak_gb
from tfxmodal.data.pairs import Pairs
from tfxmodal.methods import METHODS


def with_classes(pairs: Pairs, classes: int) -> Pairs:
    """Pairs of one class each."""
    drawn = np.random.default_rng(0).integers(classes, size=len(pairs))
    return replace(pairs, labels=np.eye(classes, dtype=np.uint8)[drawn])


def main():
    """Prints seconds and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=("jrl", "gss_sl"), default="jrl")
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--validation", type=int, default=2_000)
    parser.add_argument("--images", type=int, default=4_096)
    parser.add_argument("--texts", type=int, default=3_000)
    parser.add_argument("--classes", type=int, default=80)
    flags = parser.parse_args()
    train, validation = (
        with_classes(made_up(n, flags.images, flags.texts), flags.classes)
        for n in (flags.train, flags.validation)
    )
    spec, start = METHODS[flags.method], time.perf_counter()
    fitted = spec.fit(train, validation, spec.config())
    print(
        f"{flags.method}, {flags.train:,} pairs, {flags.images:,}-D and {flags.texts:,}-D: "
        f"{time.perf_counter() - start:.0f} s, peak {peak_gb():.2f} GB; chosen {fitted.chosen}"
    )


if __name__ == "__main__":
    main()
