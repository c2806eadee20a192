"""Trains the cells of a grid, in one process or several, and goes on where it was stopped.

A cell is settled by what is on the disk: the metrics of its run, or a record of its failure. The
process that holds a cell's lock trains it. So any number of processes, of one command or of
several, share a grid, and none does a cell twice.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tfxmodal.benchmark.cells import Cell, Source
from tfxmodal.benchmark.grid import Grid
from tfxmodal.errors import InputError, first_line
from tfxmodal.inputs.config import PLACE
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.locks import InUse, held, held_by
from tfxmodal.training.interrupts import asking, stop_signals
from tfxmodal.training.run_folder import EVALUATION, METRICS

PAUSE = 0.5
"""Seconds between two looks at what others do."""

LIFE = 30
"""Trainings after which a process gives way to a new one: each leaves about 80 MB of memory that
TensorFlow does not give back."""
RENEW = 75
"""The exit code with which it does."""

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Environment variables by which libraries know how many threads they may use."""


class Board:
    """The folder of a benchmark: `runs/CELL`, and `failures/CELL.json` with reasons.

    It keeps the failures that it has seen: a second command may forget them, to try again.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._seen: dict[str, dict] = {}

    def run(self, cell: Cell) -> Path:
        """The folder of a cell's run."""
        return self.folder / "runs" / cell.name

    def done(self, cell: Cell) -> bool:
        """Whether the cell's run came to its end, and was measured."""
        run = self.run(cell)
        measured = run / EVALUATION / cell.evaluation if cell.evaluation else run
        return (run / METRICS).exists() and (measured / METRICS).exists()

    def failure(self, cell: Cell) -> dict | None:
        """Why a cell could not be trained: `reason`, and of a fault of the program `traceback`.

        None of one that is done, by whomever.
        """
        if self.done(cell):
            return None
        with suppress(FileNotFoundError):
            told = (self._failures / f"{cell.name}.json").read_text("utf-8")
            self._seen[cell.name] = json.loads(told)
        return self._seen.get(cell.name)

    def settled(self, cell: Cell) -> bool:
        """Whether nothing is left to do for a cell."""
        return self.done(cell) or self.failure(cell) is not None

    def forget_failures(self):
        """Lets what failed before be tried again, but for what a process has in hand."""
        self._seen.clear()
        for file in self._failures.glob("*.json"):
            with suppress(InUse), held(self._claim(file.stem), file.stem):
                file.unlink(missing_ok=True)

    def fail(self, cell: Cell, error: Exception):
        """Records a failure."""
        told = {"cell": cell.title, "reason": str(error)}
        if not isinstance(error, InputError):
            told["reason"] = f"{type(error).__name__}: {first_line(error)}"
            told["traceback"] = "".join(traceback.format_exception(error))
        self._failures.mkdir(parents=True, exist_ok=True)
        with whole_file(self._failures / f"{cell.name}.json") as file:
            file.write((json.dumps(told, indent=2) + "\n").encode())
        self._seen[cell.name] = told

    def claimed(self, cell: Cell):
        """Keeps a cell for this process while the block runs.

        Raises:
            InUse: If another process has it.
        """
        return held(self._claim(cell.name), cell.title)

    def fail_of(self, pid: int, cells: Sequence[Cell], error: Exception) -> bool:
        """Records a failure for the cell of a process that was killed; False where it had none.

        Args:
            pid: The number of the process.
            cells: Those that it may have had.
            error: The failure.
        """
        cell = next((each for each in cells if held_by(self._claim(each.name), pid)), None)
        if cell is None:
            return False
        with suppress(InUse), self.claimed(cell):  # Another process may have it by now.
            if not self.settled(cell):
                self.fail(cell, error)
        return True

    def _claim(self, name: str) -> Path:
        return self.folder / "claims" / f"{name}.lock"

    @property
    def _failures(self) -> Path:
        return self.folder / "failures"


def train(
    grid: Grid,
    sources: Mapping[str, Source],
    cells: Sequence[Cell],
    board: Board,
    jobs: int = 1,
    figures: bool = False,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Iterator[Cell]:
    """Trains cells, and yields each that is settled, by whomever, as soon as it is.

    A process that is killed in a training, such as for want of memory, makes this a failure, and
    another one takes its place.

    Args:
        grid: What the cells are of; other processes expand it themselves.
        sources: The datasets of the grid.
        cells: Those that are to be settled.
        board: Where.
        jobs: How many processes train; they divide the cores among them. One that has at most
            `LIFE` cells is this process, others are new ones.
        figures: Whether each run draws its figures.
        stop_asked: See `run_experiment`; when true the rest is left.

    Raises:
        InputError: If processes ended by themselves outside of trainings, and cells are open.
    """
    if jobs == 1 and len(cells) <= LIFE:
        yield from _work(sources, cells, board, figures, stop_asked)
        return
    context = multiprocessing.get_context("spawn")
    arguments = grid, board.folder, [cell.name for cell in cells], figures

    def started():
        worker = context.Process(target=_worker, args=arguments)
        with _threads(max(1, (os.cpu_count() or 1) // jobs)):
            worker.start()
        return worker

    workers = [started() for _ in range(jobs)]
    waiting, asked = list(cells), False
    try:
        while waiting:
            codes = [each.exitcode for each in workers]
            for number, code in enumerate(codes):
                if not asked and (code == RENEW or _killed(workers[number], code, cells, board)):
                    workers[number], codes[number] = started(), None
            settled = [cell for cell in waiting if board.settled(cell)]
            waiting = [cell for cell in waiting if cell not in settled]
            yield from settled
            if None not in codes:
                break
            if stop_asked() and not asked:
                asked = True
                _stop(workers)
            time.sleep(PAUSE)
    finally:
        _stop(workers)
        for worker in workers:
            worker.join()
    broken = [each.exitcode for each in workers if each.exitcode not in (0, RENEW)]
    if waiting and broken and not asked:
        raise InputError(
            f"{len(broken)} of {jobs} processes ended by themselves (exit code {broken[0]}), and "
            f"{len(waiting)} cells are open: lower `jobs` if memory is short, and go on with the "
            "same command."
        )


def _killed(worker, code: int | None, cells: Sequence[Cell], board: Board) -> bool:
    """Whether a process ended by itself in a training, which then is a failure."""
    if code in (None, 0):
        return False
    reason = (
        f"The process of this training ended by itself (exit code {code}): lower `jobs`, or the "
        "method's `batch_size`, where memory is short."
    )
    return board.fail_of(worker.pid, cells, InputError(reason))


def _work(
    sources: Mapping[str, Source],
    cells: Sequence[Cell],
    board: Board,
    figures: bool,
    stop_asked: Callable[[], bool],
    most: float = math.inf,
) -> Iterator[Cell]:
    """Trains what nobody else trains, at most so many cells, and waits for what others do."""
    waiting, trained = list(cells), 0
    while waiting:
        settled = []
        for cell in waiting:
            if stop_asked() or trained >= most:
                return
            try:
                with board.claimed(cell):
                    if not board.settled(cell):
                        _train(cell, sources[cell.dataset], board, figures, stop_asked)
                        trained += 1
            except InUse:
                continue
            if board.settled(cell):
                settled.append(cell)
                yield cell
        waiting = [cell for cell in waiting if cell not in settled]
        if waiting and not settled:
            time.sleep(PAUSE)


def _train(cell: Cell, source: Source, board: Board, figures: bool, stop_asked):
    """Trains a cell, or goes on with it; a failure is recorded."""
    # Here, since they load TensorFlow, which a process that only watches others does not need.
    from tfxmodal.benchmark.tuning import tuned
    from tfxmodal.training.candidates import run_forms
    from tfxmodal.training.run_evaluation import evaluate_run
    from tfxmodal.training.trained_run import load_run

    try:
        forms = cell.forms
        if cell.trials:
            found = tuned(cell, source, board.folder / "tuning", stop_asked)
            if found is None:
                return
            forms = {cell.method: found}
        run = board.run(cell)
        if not (run / METRICS).exists():
            run_forms(
                forms,
                run,
                resume=True,
                dataset=source.dataset,
                stop_asked=stop_asked,
                shared=source.shared,
                figures=figures,
            )
        if source.elsewhere and (run / METRICS).exists():
            trained, there = load_run(run), source.elsewhere.config
            place = {name: getattr(there, name) for name in ("dataset", *PLACE, "on_bad_image")}
            measured = replace(trained.settings.data, **place)  # With the encoders of the run.
            evaluate_run(
                trained,
                measured,
                name=cell.evaluation,
                figures=figures,
                dataset=source.elsewhere.dataset,
            )
    except InUse:  # Another process tunes its row, or trains it by the name of its folder.
        raise
    except Exception as error:
        board.fail(cell, error)


def _worker(grid: Grid, folder: Path, names: Sequence[str], figures: bool):
    """A process that trains cells until none is left, its life is over, or its parent is gone."""
    parent = os.getppid()
    sources = grid.sources()
    cells = [cell for cell in grid.cells(sources) if cell.name in names]
    with stop_signals() as asked, asking():
        stop_asked = lambda: asked() or os.getppid() != parent  # noqa: E731
        board = Board(folder)
        for _ in _work(sources, cells, board, figures, stop_asked, LIFE):
            pass
        if not stop_asked() and not all(map(board.settled, cells)):
            sys.exit(RENEW)


def _stop(workers):
    """Asks processes to save their state and end."""
    for worker in workers:
        if worker.is_alive():
            worker.terminate()


@contextmanager
def _threads(number: int):
    """Processes that start inside use so many threads, unless the user has said otherwise."""
    added = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, str(number)))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
