"""Where the time of a benchmark's training goes, and what one costs beside its training.

    python -m tests.benchmarks.bench_cells [--dataset wikipedia=FOLDER] [--methods pls scl ...]

The cells of a grid run one after another in this process, as `trainers/benchmark.py` runs them.
Of each cell: the seconds of the fit, or of the training's steps, validations, checkpoints and
summaries; and what remains of the whole, its overhead, which should be below `TARGET`.
TensorFlow is loaded once, before.
"""

import argparse
import pkgutil
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from rich.console import Console
from rich.table import Table

from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.runner import Board, train

TARGET = 3.0
PARTS = {
    "fit": ("tfxmodal.training.experiment._fit",),
    "steps": ("tfxmodal.training.steps.Steps.run",),
    "validation": ("tfxmodal.training.experiment.evaluate_pairs",),
    "checkpoints": tuple(
        f"tfxmodal.training.checkpoints.Checkpoints.{name}" for name in ("save_last", "save_best")
    ),
    "summaries": ("tfxmodal.training.summaries.Summaries.epoch",),
}


def main():
    """Prints a line a cell, and the largest overhead."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dataset", default="emoji_scenes")
    parser.add_argument(
        "--methods", nargs="+", default=["random", "pls", "jrl", "deep_sm", "dscmr", "drsl", "scl"]
    )
    parser.add_argument("--minutes", type=float, default=0.2)
    args = parser.parse_args()

    grid = Grid(tuple(args.methods), (args.dataset,), minutes=args.minutes)
    table = Table("method", *PARTS, "whole", "overhead")
    overheads = {}
    with tempfile.TemporaryDirectory() as folder, timed() as seconds:
        sources = grid.sources()
        board, start = Board(Path(folder)), time.perf_counter()
        for cell in train(grid, sources, grid.cells(sources), board):
            if failure := board.failure(cell):
                raise SystemExit(f"{cell.title}: {failure['reason']}")
            whole = time.perf_counter() - start
            overheads[cell.method] = overhead = whole - seconds.total()
            shown = [f"{each:.1f}" for each in (*(seconds[p] for p in PARTS), whole, overhead)]
            table.add_row(cell.method, *shown)
            seconds.clear()
            start = time.perf_counter()
    Console(width=100).print(table)
    print(f"Largest overhead: {max(overheads.values()):.1f} s (target {TARGET} s)")


@contextmanager
def timed():
    """Seconds that each part takes inside the block."""
    seconds = Counter()

    def watched(part, function):
        def call(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[part] += time.perf_counter() - start

        return call

    with ExitStack() as stack:
        for part, names in PARTS.items():
            for name in names:
                stack.enter_context(mock.patch(name, watched(part, pkgutil.resolve_name(name))))
        yield seconds


if __name__ == "__main__":
    main()
