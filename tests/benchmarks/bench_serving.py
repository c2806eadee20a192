"""Load on a served model, callers in a closed loop: `python -m tests.benchmarks.bench_serving`.

Throughput and latency at 1, 8 and 32 callers, memory over 20,000 requests, and malformed requests
(none with --malformed 0). The server is the development server on a small model, or an export's
(--model MODELS/NAME); where TF_MODEL_SERVER names TensorFlow Serving, that one follows, or is the
only one (--server real). It runs in a process of its own, and batches with --batching FILE.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.serving import fuzz, tiny
from tfxmodal.serving.client.client import Client, ServerError
from tfxmodal.serving.model_server import find_binary, free_ports

SERVE = Path(__file__).resolve().parents[2] / "export" / "serve.py"
CALLERS = (1, 8, 32)
TEXT = "a brown dog runs on the beach"


@contextmanager
def serving(base: Path, *flags: str):
    """The process that serves a model, and its address."""
    (port,) = free_ports(1)
    command = [sys.executable, SERVE, "--model", base, "--port", str(port), *flags]
    environment = {**os.environ, "PYTHONPATH": str(SERVE.parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        target = f"localhost:{port}"
        try:
            with Client(target, base.name) as client:
                while True:
                    try:
                        client.metadata()
                        break
                    except ServerError:
                        if process.poll() is not None:
                            raise
                        time.sleep(0.2)
            yield process, target
        finally:
            process.terminate()


def closed_loop(client: Client, ask, callers: int, n: int) -> tuple[float, np.ndarray]:
    """Requests a second and the latencies `[n]`, in ms, of `callers` that ask one after another."""
    numbers, latencies = count(), []

    def caller(_):
        while next(numbers) < n:
            start = time.perf_counter()
            ask(client)
            latencies.append(1e3 * (time.perf_counter() - start))

    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(caller, range(callers)))
    return len(latencies) / (time.perf_counter() - start), np.array(latencies)


def rss(pid: int) -> float:
    """Megabytes of memory that a process and its children hold; the real server is a child."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(rss(int(child)) for child in children)


def bench(base: Path, n: int, steady: int, malformed: int, *flags: str):
    picture = tiny.picture(size=64)
    asks = {
        "embed_text": lambda client: client.embed_texts([TEXT]),
        "embed_image": lambda client: client.embed_images([picture]),
        "search_images": lambda client: client.search_images([TEXT]),
        "search_texts": lambda client: client.search_texts([picture]),
    }
    with serving(base, *flags) as (process, target), Client(target, base.name) as client:
        available = client.metadata()[1]
        table = Table("signature", "callers", "requests/s", "p50 ms", "p99 ms", title=base.name)
        for name, ask in asks.items():
            if name not in available:
                continue
            closed_loop(client, ask, 8, n // 10)
            for callers in CALLERS:
                rate, latencies = closed_loop(client, ask, callers, n)
                p50, p99 = np.percentile(latencies, [50, 99])
                table.add_row(name, str(callers), f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}")
        Console().print(table)  # a failed request would have ended this with its error

        ask = next(ask for name, ask in asks.items() if name in available)
        sizes = [rss(process.pid)]
        for _ in range(4):
            closed_loop(client, ask, 8, steady // 4)
            sizes.append(rss(process.pid))
        memory = " -> ".join(f"{size:.0f}" for size in sizes)
        print(f"Memory over {steady:,} requests: {memory} MB")

        if not malformed:
            return
        before = ask(client)
        start = time.perf_counter()
        counts = fuzz.answers(client, fuzz.requests(malformed, base.name, available))
        seconds = time.perf_counter() - start
        np.testing.assert_array_equal(ask(client), before)
        told = ", ".join(f"{getattr(k, 'name', k)} {v:,}" for k, v in counts.most_common())
        print(f"{malformed:,} malformed requests in {seconds:.0f} s: {told}; alive and right.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="MODELS/NAME; by default a small model is made")
    parser.add_argument("--requests", type=int, default=2000, help="for each signature and callers")
    parser.add_argument("--steady", type=int, default=20_000)
    parser.add_argument("--malformed", type=int, default=10_000, help="0 sends none")
    parser.add_argument("--batching", type=Path, help="a batching parameters file")
    parser.add_argument("--server", choices=["development", "real"], help="by default both")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = flags.model
        if base is None:
            base = Path(folder, "tiny")
            base.mkdir()
            tiny.write_version(base)
        sizes = flags.requests, flags.steady, flags.malformed
        batching = ["--batching", str(flags.batching)] if flags.batching else []
        if flags.server != "real":
            bench(base, *sizes, "--development", *batching)
        if flags.server == "real" and not find_binary():
            parser.error("TF_MODEL_SERVER names no tensorflow_model_server")
        if flags.server != "development" and find_binary():
            bench(base, *sizes, "--rest-port", "0", *batching)


if __name__ == "__main__":
    main()
