"""Trains methods on datasets over seeds under one protocol, and writes tables and figures.

Each training is an ordinary run in TO/runs. Killed and called again the command goes on; a second
one with the same --to shares the work. The report: TO/report.html, tables.md, tables.tex,
results.csv and figures; environment.json has versions, machine, commands and hashes of the data.

Examples:
  python trainers/benchmark.py --to benchmarks/all --seeds 0 1 2 --jobs 2
  python trainers/benchmark.py --to benchmarks/wiki --methods pls dscmr --datasets wikipedia=WIKI
  python trainers/benchmark.py --to benchmarks/few --methods scl smln --labelled-fraction .05 .1 .3
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tfxmodal.benchmark.grid import Grid
from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal
from tfxmodal.errors import InputError, check_ranges

if TYPE_CHECKING:
    from tfxmodal.benchmark.results import Table


@dataclass(frozen=True)
class Flags:
    """Where, and how."""

    to: Path
    """Folder of the benchmark: new, or one that goes on."""

    grid: Grid = field(default_factory=Grid)

    jobs: int = 1
    """Processes that train at once; they divide the cores."""

    figures: bool = False
    """Draw the figures of each run, too (some seconds each)."""

    config: Path | None = None
    """A YAML file with flags by their names, as in `methods: [scl, pls]`; those on the command line
    count more."""

    def __post_init__(self):
        check_ranges(self, jobs="[1, inf)")


def main(argv: list[str] | None = None):
    """Trains as the command line says."""
    words = sys.argv[1:] if argv is None else argv
    config = cli.look(words, config={"type": Path}).config
    flags = cli.parse(Flags, __doc__, [*from_file(config), *words] if config else words)

    from tfxmodal.benchmark.benchmark import run_benchmark
    from tfxmodal.training.interrupts import stop_signals

    command = shlex.join([Path(sys.argv[0]).name, *words])
    with stop_signals() as stop_asked:
        done = run_benchmark(
            flags.grid, flags.to, command, flags.jobs, flags.figures, Terminal(), stop_asked
        )
    print_end(flags.to, done.tables, done.failures)
    if done.open:
        left = f"{done.open} trainings are left. Go on with the same command."
        cli.stopped(stop_asked(), left)


def from_file(path: Path) -> list[str]:
    """The words of a command line that a YAML file stands for.

    Raises:
        InputError: If it cannot be read, or is no mapping.
    """
    import yaml

    from tfxmodal.training.model_card import flag_words

    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"`config` {path} cannot be read ({error}): give a YAML file.") from error
    if not isinstance(values, dict):
        raise InputError(f"`config` {path} must map names of flags to values; received {values!r}.")
    return flag_words(values)


def print_end(folder: Path, tables: Sequence[Table], failures: Mapping[str, Sequence[str]]):
    """Where the report is, what it lacks, and what it mixes."""
    for table in tables:
        if table.mixed:
            print(f"{table.name}: {table.mixed}")
    for reason, cells in failures.items():
        print(f"Not trained: {'; '.join(cells)}: {reason}")
    print(f"Report: {folder}/report.html; tables: {folder}/tables.md, tables.tex, results.csv")
    print(f"Figures: {folder}/figures")
