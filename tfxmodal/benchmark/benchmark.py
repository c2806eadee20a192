"""A benchmark as one call: the grid is trained, and its report written."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from tfxmodal.benchmark.cells import Cell, Source
from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.papers import paper_table
from tfxmodal.benchmark.report import write_environment, write_report
from tfxmodal.benchmark.results import Result, Row, Table, table_of
from tfxmodal.benchmark.runner import Board, train
from tfxmodal.encoders.text import names_of_parts
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
    about = {source.table: _about(grid, source, cells) for source in sources.values()}
    folder.mkdir(parents=True, exist_ok=True)
    board.forget_failures()
    with locked(folder):
        write_environment(folder, command, {name: each.hashes for name, each in sources.items()})
    left = [cell for cell in cells if not board.settled(cell)]
    reporter.say(f"{len(cells)} trainings, {len(cells) - len(left)} of them done; in {folder}")
    settled = train(grid, sources, left, board, jobs, figures, stop_asked)
    bar = reporter.bar(settled, total=len(left), desc="benchmark", unit="training")

    def reported() -> Benchmark:
        tables, failures = tables_of(cells, board, about), failures_of(cells, board)
        with locked(folder):
            write_report(folder, tables, failures)
        return Benchmark(tables, failures, sum(not board.settled(cell) for cell in cells))

    try:
        with asking():
            _tell(bar, left, board, reporter)
    except Exception:
        with suppress(Exception):  # What ended the trainings is told, not what follows of it.
            reported()
        raise
    return reported()


def tables_of(cells: Iterable[Cell], board: Board, about: Mapping[str, str] = {}) -> list[Table]:
    """The tables of those cells that are done.

    Args:
        cells: Of any number of tables.
        board: Where their runs are.
        about: By table what a reader needs to know of it.
    """
    rows: dict[str, dict[tuple, list[Cell]]] = {}
    for cell in filter(board.done, cells):
        of_table = rows.setdefault(cell.table, {})
        of_table.setdefault((cell.method, *cell.variant.items()), []).append(cell)

    def row(of_row: list[Cell]) -> Row:
        first, results = of_row[0], [Result(board.run(cell), cell.evaluation) for cell in of_row]
        return Row(first.method, first.variant, results, first.printed, first.differs)

    return [
        table_of(name, map(row, of_table.values()), about.get(name, ""))
        for name, of_table in rows.items()
    ]


def failures_of(cells: Iterable[Cell], board: Board) -> dict[str, list[str]]:
    """By reason the cells that could not be trained."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if failure := board.failure(cell):
            found.setdefault(failure["reason"], []).append(cell.title)
    return found


def _about(grid: Grid, source: Source, cells: Iterable[Cell]) -> str:
    """What a reader needs to know of a dataset's table.

    Raises:
        InputError: If the dataset's `encoders` are none.
    """
    parts = [paper_table(grid.paper).about, _features(source)] if grid.paper else []
    if grid.tune:
        spaces = {cell.method: cell.space for cell in cells if cell.table == source.table}
        parts.append(f"Tuned on validation, {grid.tune} trials a row.")
        if preset := [method for method, space in spaces.items() if not space]:
            parts.append(f"Nothing to tune, at their presets: {', '.join(preset)}.")
    return " ".join(parts)


def _features(source: Source) -> str:
    """What methods read of a dataset."""
    train, config = source.dataset.train, source.config.with_trained_encoders()
    images, texts = "ready image features", "ready text features"
    if train.has_image_files:
        weights = "" if config.image_weights == "imagenet" else f" ({config.image_weights})"
        images = f"image encoder {config.image_encoder}{weights}"
    if train.has_captions:
        bag = "tf_idf" in names_of_parts(config.text_encoder)
        words = f", {config.vocabulary_size:,} words" if bag else ""
        texts = f"text encoder {config.text_encoder}{words}"
    return f"Here: {images}, {texts}."


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
            what = f"{result.shares[-1].sum():.3f}, {result.metrics['seconds']:.0f} s"
        left = sum(count * fmean(took[kind]) for kind, count in waiting.items() if took[kind])
        known = all(took[kind] for kind, count in waiting.items() if count)
        told = f"{'about' if known else 'more than'} {left / 60:.0f} min left"
        reporter.say(f"{number}/{len(cells)} {cell.title}: {what}; {told}")


def _in_closed_form(cell: Cell) -> bool:
    return METHODS[cell.method].fit is not None
