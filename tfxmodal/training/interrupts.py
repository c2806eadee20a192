"""Ctrl-C and SIGTERM as a question that the training loop can ask."""

import signal
from contextlib import contextmanager


@contextmanager
def stop_signals():
    """Yields a function that tells whether SIGINT or SIGTERM has come.

    The first signal only sets the answer, so that the loop can save its state; a second Ctrl-C
    ends the program at once.
    """
    asked = []

    def ask(number, frame):
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
