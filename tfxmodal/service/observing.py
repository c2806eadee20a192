"""What an operator sees of the service: metrics for Prometheus, and a line of JSON a request.

Neither holds anything of what is asked or kept: no text, id, file name, filter or key.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tfxmodal.service.failures import fault_of

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}
"""Methods that are told by their names: callers may send any word, and each would be kept."""

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The service's metrics, in a registry of their own."""

    def __init__(self):
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "tfxmodal_requests", "Requests", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "tfxmodal_request_seconds",
            "Time to an answer",
            ["route", "method"],
            buckets=SECONDS,
            registry=registry,
        )
        self.under_way = Gauge(
            "tfxmodal_requests_under_way", "Requests under way", registry=registry
        )
        self._steps = Histogram(
            "tfxmodal_step_seconds",
            "Time of a step: embed, search, write",
            ["step"],
            buckets=SECONDS,
            registry=registry,
        )
        self._free = Gauge(
            "tfxmodal_disk_free_bytes", "Free of the gallery's disk", registry=registry
        )
        self._size = Gauge("tfxmodal_disk_bytes", "Size of the gallery's disk", registry=registry)

    def watch(self, folder: Path):
        """Tells of the disk of a folder from now on; of one that cannot be reached NaN."""
        self._free.set_function(lambda: _usage(folder)[2])
        self._size.set_function(lambda: _usage(folder)[0])

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Takes the time of a block."""
        with self._steps.labels(name).time():
            yield


def _usage(folder: Path) -> tuple[float, float, float]:
    """Bytes of a folder's disk: all, used and free."""
    try:
        return shutil.disk_usage(folder)
    except OSError:
        return math.nan, math.nan, math.nan


def log_line(**values):
    """Prints a line of JSON; values that are None are left out."""
    told = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")} | values
    line = json.dumps({name: value for name, value in told.items() if value is not None})
    print(line, file=sys.stderr, flush=True)


class Observed:
    """An ASGI application whose requests are counted and logged.

    Args:
        app: The application; it puts `caller` into the state of a request, and `fault` where it
            failed.
        metrics: Count the requests.
        log: Takes what is told of a request, by name.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Callable = log_line):
        self._app, self._metrics, self._log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send):
        """Answers a request, and tells of it; of a fault of the service, where it is."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start, status, fault = time.perf_counter(), 500, None

        async def noted(message: Message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # Already answered by 500.
            fault = fault_of(error)
        finally:
            self._metrics.under_way.dec()
            seconds = time.perf_counter() - start
            # The pattern of the path: the path itself may hold an id.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            method = method if route != "none" else "none"
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.seconds.labels(route, method).observe(seconds)
            self._log(
                method=method,
                route=route,
                status=status,
                ms=round(1e3 * seconds, 1),
                caller=getattr(scope.get("state", {}).get("caller"), "name", None),
                fault=fault or scope.get("state", {}).get("fault"),
            )
