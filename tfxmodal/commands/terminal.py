"""What a person at a terminal, or a log file, sees of long work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tfxmodal.commands import cli
from tfxmodal.io.reporter import Reporter

if TYPE_CHECKING:
    from rich.table import Table

UNLIMITED = 1_000_000
"""Columns of what is no terminal."""


def show(table: Table):
    """Prints a table; into a file or a pipe as wide as it is, so that no path is broken."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console().print(table)
        return
    console = Console(width=UNLIMITED)
    if table.title:  # A table wraps its title to its own width.
        console.print(table.title)
        table.title = None
    console.print(table)


class Terminal(Reporter):
    """Prints; its bars keep quiet when the output is no terminal, where a line an epoch is left."""

    def say(self, text: str):
        """Prints it above the bars, with arguments as flags."""
        from tqdm import tqdm

        tqdm.write(cli.with_flags(text))
        sys.stdout.flush()

    def bar(self, items, total: int | None = None, desc: str | None = None, unit: str = "part"):
        """A bar by tqdm."""
        from tqdm import tqdm

        return tqdm(items, total=total, desc=desc, unit=unit, disable=None)

    def training(self, epochs: int, done: int):
        """Opens the bar of the epochs."""
        from tqdm import tqdm

        self._epochs = tqdm(total=epochs, initial=done, unit="epoch", disable=None)

    def step(self, done: int, steps: int):
        """Shows it beside the bar."""
        self._epochs.set_postfix_str(f"step {done}/{steps}")

    def epoch(self, report):
        """Prints its line above the bar."""
        self._epochs.update()
        self._epochs.write(report.line())

    def trained(self):
        """Closes the bar."""
        self._epochs.close()
