"""Ctrl-C and SIGTERM: a question where a training asks it, elsewhere the end of the program."""

import signal
import sys
from contextlib import contextmanager, nullcontext

_asking = 0
"""How many blocks of `asking` are under way."""

_hearing = False
"""Whether `stop_signals` hears the signals."""


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
    """Yields a function that gives the SIGINT or SIGTERM that has come; 0 before one has.

    Inside `asking` the first signal only sets the answer, so that the loop can save its state; a
    second Ctrl-C ends the program at once. Elsewhere nobody would hear of it, and the first signal
    ends the program: Ctrl-C by KeyboardInterrupt, SIGTERM by SystemExit with code 143.
    """
    global _hearing
    asked = []

    def come(number, frame):
        if _asking and not (asked and number == signal.SIGINT):
            asked.append(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            sys.exit(128 + number)  # As shells tell of a program that a signal ended.

    before, _hearing = _hearing, True
    try:
        with _handled_by(come):
            yield lambda: asked[0] if asked else 0
    finally:
        _hearing = before


@contextmanager
def unheard():
    """Around a call that comes back to Python late: Ctrl-C ends the program at once.

    TensorFlow takes SIGTERM for itself when it joins other machines, and does nothing by it. After
    the block `stop_signals` hears both again.
    """
    with _handled_by(signal.SIG_DFL) if _hearing else nullcontext():
        yield


@contextmanager
def _handled_by(handler):
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
