"""A benchmark as one call: the grid is trained, and its report written."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from tfxmodal.benchmark.cells import Cell
from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.papers import paper_table
from tfxmodal.benchmark.report import write_environment, write_report
from tfxmodal.benchmark.results import Result, Row, Table, table_of
from tfxmodal.benchmark.runner import Board, train
from tfxmodal.evaluation.protocol import selection_score
from tfxmodal.io.locks import locked
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.training.interrupts import asking


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark left.

    Attributes:
        tables: One a dataset.
        failures: By reason the cells that could not be trained.
        open: How many cells are left, where it was stopped.
    """

    tables: Sequence[Table]
    failures: dict[str, list[str]]
    open: int


def run_benchmark(
    grid: Grid,
    folder: Path,
    command: str,
    jobs: int = 1,
    figures: bool = False,
    reporter: Reporter = SILENT,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Benchmark:
    """Trains what is left of a grid, and writes the report of all that is done.

    Args:
        grid: The trainings.
        folder: Where runs and report are; a folder that holds some already goes on.
        command: What the user called, for `environment.json`.
        jobs: See `runner.train`.
        figures: See there.
        reporter: Is told of the progress.
        stop_asked: See there.

    Raises:
        InputError: If a dataset cannot be loaded, or a setting is wrong.
    """
    sources = grid.sources(reporter)
    cells, board = grid.cells(sources), Board(folder)
    folder.mkdir(parents=True, exist_ok=True)
    board.forget_failures()
    with locked(folder):
        write_environment(folder, command, {name: each.hashes for name, each in sources.items()})
    left = [cell for cell in cells if not board.settled(cell)]
    reporter.say(f"{len(cells)} trainings, {len(cells) - len(left)} of them done; in {folder}")
    settled = train(grid, sources, left, board, jobs, figures, stop_asked)
    bar = reporter.bar(settled, total=len(left), desc="benchmark", unit="training")
    with asking():
        _tell(bar, left, board, reporter)
    about = paper_table(grid.paper).about if grid.paper else ""
    tables, failures = tables_of(cells, board, about), failures_of(cells, board)
    with locked(folder):
        write_report(folder, tables, failures)
    return Benchmark(tables, failures, sum(not board.settled(cell) for cell in cells))


def tables_of(cells: Iterable[Cell], board: Board, about: str = "") -> list[Table]:
    """The tables of those cells that are done; `about` is what a reader needs to know of them."""
    rows: dict[str, dict[tuple, list[Cell]]] = {}
    for cell in filter(board.done, cells):
        of_table = rows.setdefault(cell.table, {})
        of_table.setdefault((cell.method, *cell.variant.items()), []).append(cell)

    def row(of_row: list[Cell]) -> Row:
        results = [Result(board.run(cell), cell.evaluation) for cell in of_row]
        return Row(of_row[0].method, of_row[0].variant, results, of_row[0].printed)

    return [table_of(name, map(row, of_table.values()), about) for name, of_table in rows.items()]


def failures_of(cells: Iterable[Cell], board: Board) -> dict[str, list[str]]:
    """By reason the cells that could not be trained."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if failure := board.failure(cell):
            found.setdefault(failure["reason"], []).append(cell.title)
    return found


def _tell(settled: Iterable[Cell], cells: Sequence[Cell], board: Board, reporter: Reporter):
    """A line for each cell that is settled, with the time that is left.

    Methods in closed form come first, and take seconds: the others are reckoned by themselves.
    """
    waiting, took, last = Counter(map(_in_closed_form, cells)), defaultdict(list), time.monotonic()
    for number, cell in enumerate(settled, 1):
        kind, now = _in_closed_form(cell), time.monotonic()
        took[kind].append(now - last)
        waiting[kind] -= 1
        last = now
        if failure := board.failure(cell):
            what = f"not trained: {failure['reason']}"
        else:
            result = Result(board.run(cell), cell.evaluation)
            what = f"{selection_score(result.test):.3f}, {result.metrics['seconds']:.0f} s"
        left = sum(count * fmean(took[kind]) for kind, count in waiting.items() if took[kind])
        known = all(took[kind] for kind, count in waiting.items() if count)
        told = f"{'about' if known else 'more than'} {left / 60:.0f} min left"
        reporter.say(f"{number}/{len(cells)} {cell.title}: {what}; {told}")


def _in_closed_form(cell: Cell) -> bool:
    return METHODS[cell.method].fit is not None
