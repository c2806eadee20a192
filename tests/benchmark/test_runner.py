import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.benchmark.killed import killed_in_pls
from tests.benchmark.made import grid, write_features
from tfxmodal.benchmark import runner
from tfxmodal.benchmark.runner import Board, train
from tfxmodal.errors import InputError
from tfxmodal.io.locks import InUse
from tfxmodal.training import candidates, experiment

ROOT = Path(__file__).resolve().parents[2]

SHARING = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from tests.waiting import eventually
from tfxmodal.benchmark import runner
from tfxmodal.benchmark.grid import Grid

def run_forms(forms, folder, **options):
    folder.mkdir(parents=True)  # Fails where another has trained it.
    Path(f"begun-{os.getpid()}").touch()
    eventually(lambda: len([*Path().glob("begun-*")]) == 2)  # Each has a training of its own.
    (folder / "metrics.json").write_text("{}")
    print("trained", folder.name, flush=True)

# Without TensorFlow, which a process of fakes does not need.
sys.modules["tfxmodal.benchmark.tuning"] = SimpleNamespace(tuned=None)
sys.modules["tfxmodal.training.candidates"] = SimpleNamespace(run_forms=run_forms)
data = (f"features={sys.argv[1]}",)
grid = Grid(methods=("pls", "cca"), datasets=data, seeds=tuple(range(15)))
sources = grid.sources()
cells = grid.cells(sources)
for cell in runner.train(grid, sources, cells, runner.Board(Path(sys.argv[2]))):
    print("settled", cell.name, flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    return write_features(tmp_path / "mine")


def trained(asked, folder, **options) -> list:
    sources = asked.sources()
    return list(train(asked, sources, asked.cells(sources), Board(folder), **options))


def test_two_processes_share_a_grid_and_none_does_a_cell_twice(folder, tmp_path):
    command = [sys.executable, "-c", SHARING, folder, tmp_path / "to"]
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    two = [subprocess.Popen(command, env=environment, **options) for _ in range(2)]
    told = [process.communicate()[0].splitlines() for process in two]
    assert [process.returncode for process in two] == [0, 0]
    of = {
        what: [[line.split()[1] for line in lines if line.startswith(what)] for lines in told]
        for what in ("trained", "settled")
    }
    assert all(of["trained"]), "one process did everything"
    assert len(set(of["trained"][0] + of["trained"][1])) == len(sum(of["trained"], [])) == 30
    for settled in of["settled"]:  # Each ends when all is done, by whomever.
        assert len(settled) == 30
    assert {path.name for path in (tmp_path / "to").iterdir()} <= {"runs", "claims"}


def test_what_fails_is_recorded_and_the_rest_goes_on(folder, tmp_path, monkeypatch):
    run_forms = candidates.run_forms

    def failing(forms, *arguments, **options):
        if "cca" in forms:
            raise ZeroDivisionError("by hand")
        return run_forms(forms, *arguments, **options)

    monkeypatch.setattr(candidates, "run_forms", failing)
    asked = grid(folder, "pls", "cca", "random", "zero_shot")
    board = Board(tmp_path / "to")
    cells = {cell.method: cell for cell in trained(asked, tmp_path / "to")}
    assert len(cells) == 4
    assert [method for method, cell in cells.items() if board.done(cell)] == ["pls", "random"]
    reasons = {m: board.failure(cells[m])["reason"] for m in ("cca", "zero_shot")}
    assert reasons["cca"] == "ZeroDivisionError: by hand"
    assert "share no space" in reasons["zero_shot"]
    assert "in failing" in board.failure(cells["cca"])["traceback"]
    assert "traceback" not in board.failure(cells["zero_shot"])
    board.forget_failures()
    monkeypatch.undo()
    trained(asked, tmp_path / "to")
    assert board.done(cells["cca"]) and not board.done(cells["zero_shot"])


def test_a_failure_is_forgotten_but_for_those_who_saw_it_or_have_the_cell(folder, tmp_path):
    asked, board = grid(folder, "pls"), Board(tmp_path)
    (cell,) = asked.cells(asked.sources())
    with board.claimed(cell):
        board.fail(cell, InputError("by hand"))
        Board(tmp_path).forget_failures()
        assert Board(tmp_path).settled(cell)
    Board(tmp_path).forget_failures()
    assert not Board(tmp_path).settled(cell)
    assert board.settled(cell) and board.failure(cell)["reason"] == "by hand"


def test_features_are_made_once_for_all_trainings(folder, tmp_path, monkeypatch):
    made, prepare = [], experiment.prepare
    monkeypatch.setattr(experiment, "prepare", lambda *a, **k: made.append(1) or prepare(*a, **k))
    noisy = grid(folder, "random", "semantic_matching", label_noise=(0.4,), seeds=(0, 1))
    assert len(trained(noisy, tmp_path / "to")) == 4
    assert len(made) == 1


def test_a_worker_does_the_cells_it_is_told(folder, tmp_path):
    asked = grid(folder, "pls", "random")
    cells = asked.cells(asked.sources())
    runner._worker(asked, tmp_path / "to", [cells[1].name], figures=False)
    board = Board(tmp_path / "to")
    assert [board.done(cell) for cell in cells] == [False, True]


def test_a_process_gives_way_to_a_new_one(folder, tmp_path, monkeypatch):
    """Each process of fakes is one of this thread, and lives for two cells."""
    codes = []

    class Process:
        exitcode = None

        def __init__(self, target, args):
            self.work = target, args

        def start(self):
            target, args = self.work
            try:
                target(*args)
                self.exitcode = 0
            except SystemExit as ended:
                self.exitcode = ended.code
            codes.append(self.exitcode)

        is_alive = terminate = join = lambda self: False

    monkeypatch.setattr(runner, "LIFE", 2)
    monkeypatch.setattr(
        runner.multiprocessing, "get_context", lambda _: SimpleNamespace(Process=Process)
    )
    asked = grid(folder, "random", seeds=tuple(range(5)))
    assert len(trained(asked, tmp_path / "to")) == 5
    assert codes == [runner.RENEW, runner.RENEW, 0]


def test_a_process_that_is_killed_in_a_training_fails_it_and_another_does_the_rest(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "LIFE", 0)  # So that it is a process of its own.
    monkeypatch.setattr(runner, "_worker", killed_in_pls)
    board = Board(tmp_path / "to")
    settled = trained(grid(folder, "random", "pls", "cca"), board.folder)
    reasons = {cell.method: board.failure(cell)["reason"] for cell in settled}
    assert reasons.keys() == {"random", "pls", "cca"}
    assert reasons["random"] == reasons["cca"] == "by hand"
    assert "ended by itself (exit code -9): lower `jobs`, or the method's" in reasons["pls"]
    assert not list((board.folder / "claims").iterdir())


def test_what_another_process_has_taken_from_a_killed_one_is_no_failure(folder, tmp_path):
    asked, board = grid(folder, "pls"), Board(tmp_path)
    (cell,) = asked.cells(asked.sources())
    with board.claimed(cell):
        assert board.fail_of(os.getpid(), [cell], InputError("by hand"))
        assert not board.fail_of(os.getpid() + 1, [cell], InputError("by hand"))
    assert not board.settled(cell)


def test_a_process_that_would_have_given_way_does_not_keep_one_that_is_to_stop(
    folder, tmp_path, monkeypatch
):
    class Process:
        exitcode = None

        def __init__(self, target, args):
            pass

        def is_alive(self):
            return self.exitcode is None

        def terminate(self):
            self.exitcode = runner.RENEW

        start = join = lambda self: None

    looks = iter(range(10))
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: next(looks))
    monkeypatch.setattr(
        runner.multiprocessing, "get_context", lambda _: SimpleNamespace(Process=Process)
    )
    asked = grid(folder, "pls")
    assert not trained(asked, tmp_path / "to", jobs=2, stop_asked=lambda: True)


def test_what_another_process_keeps_is_no_training_of_this_one(folder, tmp_path, monkeypatch):
    board = Board(tmp_path)

    def in_use(cell, *_):
        if cell.method == "pls":
            raise InUse("another process tunes its row")
        board.fail(cell, InputError("by hand"))

    monkeypatch.setattr(runner, "_train", in_use)
    asked = grid(folder, "pls", "random")
    sources = asked.sources()
    cells = sorted(asked.cells(sources), key=lambda cell: cell.method)
    done = runner._work(sources, cells, board, False, lambda: False, most=1)
    assert [cell.method for cell in done] == ["random"]


def test_a_broken_process_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_worker", os._exit)  # With the grid as its code: an error.
    with pytest.raises(InputError, match="2 of 2 processes ended by themselves .* lower `jobs`"):
        trained(grid(folder, "pls"), tmp_path / "to", jobs=2)
