"""Load on the search service: `python -m tests.benchmarks.bench_service`.

1, 8 and 32 callers in a closed loop search by text and by picture, and put pictures in, over HTTP:
requests a second, p50 and p99, and how many failed. The service, with a gallery of --items
pictures, and the development server with a small model run in processes of their own; --model
MODELS/NAME takes an export, --url and --key a service that runs.
"""

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.bench_serving import serving
from tests.serving import tiny
from tfxmodal.commands import search_service
from tfxmodal.serving.model_server import free_ports

ROOT = Path(__file__).resolve().parents[2]
CALLERS = (1, 8, 32)


@contextmanager
def service(base: Path, folder: Path, items: int):
    """The address of a service over a model, with so many pictures."""
    with serving(base, "--development") as (_, target):
        common = ["--folder", str(folder / "gallery"), "--server", target, "--model", base.name]
        search_service.main(["new", *common, "--version", "1", "--models", str(base.parent)])
        pictures = folder / "pictures"
        pictures.mkdir()
        rng = np.random.default_rng(0)
        for number in range(items):
            colour = tuple(rng.integers(0, 256, 3).tolist())
            (pictures / f"{number}.png").write_bytes(tiny.picture(colour, 64))
        search_service.main(["fill", *common, "--data", str(pictures)])
        (port,) = free_ports(1)
        command = [sys.executable, ROOT / "export/search_service.py", "serve", *common]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL
        ) as process:
            try:
                url = f"http://localhost:{port}"
                while request(url, "GET", "/ready", {})[0] != 200:
                    time.sleep(0.2)
                yield url
            finally:
                process.terminate()


def request(url: str, method: str, path: str, fields: dict, key: str = "") -> tuple[int, float]:
    """Status of a request, 0 where there was none, and its milliseconds."""
    boundary = "tfxmodal"
    parts = []
    for name, value in fields.items():
        kind = f'; filename="{name}"' if isinstance(value, bytes) else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{kind}\r\n\r\n'
        parts += [head.encode(), value if isinstance(value, bytes) else value.encode(), b"\r\n"]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    start, status = time.perf_counter(), 0
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, path, body if fields else None, headers)
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except OSError:
        pass  # A status of 0 counts as a failed request.
    finally:
        connection.close()
    return status, 1e3 * (time.perf_counter() - start)


def bench(url: str, key: str, n: int):
    """Prints the table."""
    rng, numbers = np.random.default_rng(1), count()
    pictures = [tiny.picture(tuple(rng.integers(0, 256, 3).tolist()), 64) for _ in range(n)]
    asks = {
        "search by text": lambda row: ("POST", "/search", {"text": "a red car"}),
        "search by picture": lambda row: ("POST", "/search", {"image": pictures[row]}),
        "put a picture": lambda row: (
            "PUT",
            "/items",
            {"id": f"bench/{next(numbers)}", "image": pictures[row]},
        ),
    }
    table = Table("request", "callers", "requests/s", "p50 ms", "p99 ms", "failed")
    for name, ask in asks.items():
        for callers in CALLERS:
            start = time.perf_counter()
            with ThreadPoolExecutor(callers) as pool:
                answers = [*pool.map(lambda row, ask=ask: request(url, *ask(row), key), range(n))]
            rate = n / (time.perf_counter() - start)
            statuses = Counter(status for status, _ in answers)
            p50, p99 = np.percentile([ms for _, ms in answers], [50, 99])
            failed = {status: times for status, times in statuses.items() if status != 200}
            row = name, callers, f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}", failed or 0
            table.add_row(*map(str, row))
    Console().print(table)


def main():
    """Measures as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="MODELS/NAME; by default a small model is made")
    parser.add_argument("--items", type=int, default=1000, help="pictures in the gallery")
    parser.add_argument("--requests", type=int, default=500, help="for each row of the table")
    parser.add_argument("--url", help="a service that runs")
    parser.add_argument("--key", default="", help="its key to write")
    flags = parser.parse_args()
    if flags.url:
        return bench(flags.url, flags.key, flags.requests)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = flags.model
        if base is None:
            base = folder / "tiny"
            base.mkdir()
            tiny.write_version(base)
        with service(base.resolve(), folder, flags.items) as url:
            bench(url, "", flags.requests)


if __name__ == "__main__":
    main()
