"""Ctrl-C and SIGTERM: a question where a training asks it, elsewhere the end of the program."""

import signal
import sys
from contextlib import contextmanager

_asking = 0
"""How many blocks of `asking` are under way."""


@contextmanager
def asking():
    """Tells that somebody asks for signals every few seconds while the block runs."""
    global _asking
    _asking += 1
    try:
        yield
    finally:
        _asking -= 1


@contextmanager
def stop_signals():
    """Yields a function that tells whether SIGINT or SIGTERM has come.

    Inside `asking` the first signal only sets the answer, so that the loop can save its state; a
    second Ctrl-C ends the program at once. Elsewhere nobody would hear of it, and the first signal
    ends the program: Ctrl-C by KeyboardInterrupt, SIGTERM by SystemExit with code 143.
    """
    asked = []

    def come(number, frame):
        if _asking and not (asked and number == signal.SIGINT):
            asked.append(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            sys.exit(128 + number)  # As shells tell of a program that a signal ended.

    before = {number: signal.signal(number, come) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
