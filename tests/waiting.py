"""Waiting for what another thread or process does, however long a busy machine takes."""

import time
from collections.abc import Callable

PATIENCE = 120
"""Seconds after which what a test waits for has failed."""


def eventually(condition: Callable[[], bool]):
    """Waits until a condition holds; fails when patience ends."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
