"""Writes the tables and figures of a benchmark for runs that exist already.

Runs on the same test pairs share a table; those that differ in the seed alone are a row.

Example:
  python trainers/compare.py runs/scl-wikipedia runs/pls-wikipedia --to comparison
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from tfxmodal.commands import cli
from tfxmodal.commands.benchmark import print_end


@dataclass(frozen=True)
class Flags:
    """Which runs, and where the report goes."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of finished runs."""

    to: Path
    """Folder of the report."""


def main(argv: list[str] | None = None):
    """Compares as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)

    from tfxmodal.benchmark.report import write_report
    from tfxmodal.benchmark.results import Result, tables_of_runs

    tables = tables_of_runs([Result(run) for run in flags.runs])
    write_report(flags.to, tables, {})
    print_end(flags.to, tables, {})
