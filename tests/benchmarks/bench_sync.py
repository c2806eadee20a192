"""What a write costs where a gallery has many files: `python -m tests.benchmarks.bench_sync`.

A gallery of many small writes has ten thousands of files, and each write looks at all. CPU seconds
of `sync_changes` where nothing has changed, beside those of a look at the files' paths: the best of
several runs. It should take less than `TARGET` of them.
"""

import tempfile
import time
from pathlib import Path

from tfxmodal.io.atomic import sync_changes

FILES, RUNS, TARGET = 3000, 5, 0.7


def main():
    """Prints both, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(FILES):
            (folder / f"{number}").touch()
        ours = cost(lambda: sync_changes(folder, time.time() + 60))
        paths = cost(lambda: [path.stat() for path in folder.rglob("*")])
    print(f"{FILES:,} files: {1e3 * ours:.1f} ms, their paths {1e3 * paths:.1f} ms")
    print(f"ratio {ours / paths:.2f}, at most {TARGET}")


def cost(action) -> float:
    """The least CPU seconds of several runs."""
    return min(_once(action) for _ in range(RUNS))


def _once(action) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


if __name__ == "__main__":
    main()
