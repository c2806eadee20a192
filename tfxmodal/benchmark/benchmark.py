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
from tfxmodal.benchmark.papers import paper_table, told_pairs
from tfxmodal.benchmark.report import write_environment, write_report
from tfxmodal.benchmark.results import Result, Row, Table, table_of
from tfxmodal.benchmark.runner import Board, train
from tfxmodal.encoders.text import names_of_parts
from tfxmodal.io.locks import locked
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.training.interrupts import asking

NOT_YET = "Not trained yet: the same command goes on."
"""Why the cells that are left are in no table."""


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
        write_environment(folder, command, _hashes(sources.values()))
    left = [cell for cell in cells if not board.settled(cell)]
    reporter.say(f"{len(cells)} trainings, {len(cells) - len(left)} of them done; in {folder}")
    settled = train(grid, sources, left, board, jobs, figures, stop_asked)
    bar = reporter.bar(settled, total=len(left), desc="benchmark", unit="training")

    def reported() -> Benchmark:
        tables, failures = tables_of(cells, board, about), failures_of(cells, board)
        rest = [cell for cell in cells if not board.settled(cell)]
        with locked(folder):
            write_report(folder, tables, failures | open_of(rest))
        return Benchmark(tables, failures, len(rest))

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
        results = [Result(board.run(cell), cell.evaluation) for cell in of_row]
        first = of_row[0]
        return Row(first.method, first.variant, results, first.printed, first.printed_seconds)

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


def open_of(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """By what is to be done the cells that are left, the seeds of a row together."""
    rows: dict[str, list[str]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(str(cell.seed))
    left = [f"{row}, seed {' '.join(seeds)}" for row, seeds in rows.items()]
    return {NOT_YET: left} if left else {}


def _hashes(sources: Iterable[Source]) -> dict[str, Mapping[str, str]]:
    """By dataset the hash of each split; of that of `test_on`, too, whose name says so."""
    found: dict[str, Mapping[str, str]] = {}
    for source in sources:
        found[source.name] = source.hashes
        if source.elsewhere:
            found[f"test_on {source.elsewhere.name}"] = source.elsewhere.hashes
    return found


def _about(grid: Grid, source: Source, cells: Iterable[Cell]) -> str:
    """What a reader needs to know of a dataset's table.

    Raises:
        InputError: If the dataset's `encoders` are none.
    """
    parts: list[str] = []
    if grid.paper:
        parts += [paper_table(grid.paper).about(source.config.dataset), _here(source)]
    if grid.tune:
        spaces = {cell.method: cell.space for cell in cells if cell.table == source.table}
        parts.append(f"Tuned on validation, {grid.tune} trials a row.")
        if preset := [method for method, space in spaces.items() if not space]:
            parts.append(f"Nothing to tune, at their presets: {', '.join(preset)}.")
    return " ".join(parts)


def _here(source: Source) -> str:
    """What methods read of a dataset, and how much of it there is."""
    train, config = source.dataset.train, source.config.with_trained_encoders()
    images, texts = "ready image features", "ready text features"
    if train.has_image_files:
        weights = "" if config.image_weights == "imagenet" else f" ({config.image_weights})"
        images = f"image encoder {config.image_encoder}{weights}"
    if train.has_captions:
        bag = "tf_idf" in names_of_parts(config.text_encoder)
        words = f", {config.vocabulary_size:,} words" if bag else ""
        texts = f"text encoder {config.text_encoder}{words}"
    sizes = {split: len(pairs) for split, pairs in source.dataset.splits()}
    if source.elsewhere:
        sizes["test"] = len(source.elsewhere.dataset.test)
    return f"Here: {images}, {texts}; {told_pairs(sizes.values())}."


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
