import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.benchmark.made import grid, write_features
from tfxmodal.benchmark import tuning
from tfxmodal.benchmark.benchmark import run_benchmark
from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.runner import Board, train
from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS
from tfxmodal.training.loop import NonFiniteLoss
from tfxmodal.training.settings import Settings


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("optuna")
    return write_features(tmp_path / "mine")


def study_of_cca(folder: Path):
    """The study of a tuning, from its journal."""
    import optuna

    (journal,) = folder.glob("cca-*.jsonl")
    storage = optuna.storages.journal.JournalFileBackend(str(journal))
    return optuna.load_study(
        study_name=journal.stem, storage=optuna.storages.JournalStorage(storage)
    )


def test_without_optuna_it_is_told(monkeypatch):
    monkeypatch.setattr("tfxmodal.benchmark.grid.find_spec", lambda name: None)
    with pytest.raises(InputError, match="`tune` 2 needs Optuna: pip install optuna"):
        Grid(tune=2)


def test_a_row_takes_the_settings_that_validation_prefers(folder, tmp_path):
    asked = grid(folder, "cca", "random", seeds=(0, 1), tune=4, set=("cca.rank=1",))
    done = run_benchmark(asked, tmp_path / "to", "a command")
    assert not done.failures and not list((tmp_path / "to/tuning").glob("*/*"))
    study = study_of_cca(tmp_path / "to/tuning")
    assert len(study.trials) == 4  # Of both seeds together.
    assert study.trials[0].params == {"rank": "1"}  # The settings as they came.
    # Of some ranks there are too few pairs: those trials fail, and the others count.
    best = max(study.trials, key=lambda trial: trial.value or 0)
    assert best.value >= study.trials[0].value
    row = next(row for row in done.tables[0].rows if row.method == "cca")
    assert row.title == "cca"  # The rank that was set is not what it has.
    for result in row.results:
        assert result.settings.config.rank == json.loads(best.params["rank"])
    reached = row.results[0].metrics["validation"]["map_all"]["average"]
    assert reached == pytest.approx(best.value)
    assert len({cell.study for cell in asked.cells(asked.sources())}) == 2


def test_what_has_nothing_to_tune_is_at_its_preset_and_named(folder, tmp_path):
    asked = grid(folder, "cca", "random", "pls", tune=2)
    (table,) = run_benchmark(asked, tmp_path / "to", "a command").tables
    assert [path.name[:4] for path in (tmp_path / "to/tuning").glob("*.jsonl")] == ["cca-"]
    told = "Tuned on validation, 2 trials a row. Nothing to tune, at their presets: random, pls."
    assert table.about == told and told in (tmp_path / "to/tables.md").read_text()
    for row in table.rows:
        if row.method != "cca":
            preset = Settings.for_dataset(row.method, "features").config
            assert row.results[0].settings.config == preset


def test_what_a_row_differs_in_is_not_tuned(folder):
    asked = grid(folder, "scl", "drsl", preset="paper", tune=2)
    scl, drsl = asked.cells(asked.sources())
    assert scl.space["alpha"] == ["0.01", "0.0"] and len(scl.space["beta"]) == 3
    assert drsl.space["encoder_batch_norm"] == ["false", "true"]
    ablated = replace(scl, variant={"alpha": 0.0, "beta": 0.0})
    assert ablated.space == {k: v for k, v in scl.space.items() if k not in ("alpha", "beta")}


def test_the_names_of_what_is_tuned_tell_what_is_tried(folder, monkeypatch):
    def named(trials: int) -> tuple[str, str]:
        asked = grid(folder, "cca", tune=trials)
        (cell,) = asked.cells(asked.sources())
        return cell.name, cell.study

    before, as_it_came = named(2), named(0)
    monkeypatch.setitem(METHODS, "cca", replace(METHODS["cca"], search_space={"rank": (1, 2)}))
    assert not {*before} & {*named(2)}
    assert named(0)[0] == as_it_came[0]


def test_fewer_trials_than_before_take_the_best_of_those(folder, tmp_path, monkeypatch):
    rising = count(1)
    monkeypatch.setattr(tuning, "_score", lambda *of: float(next(rising)))
    few, more = (grid(folder, "cca", tune=trials) for trials in (2, 6))
    sources = few.sources()
    (cell,), (again,) = few.cells(sources), more.cells(sources)
    given = sources[cell.dataset], tmp_path, lambda: False
    found = tuning.tuned(cell, *given)
    assert tuning.tuned(again, *given) != found
    assert tuning.tuned(cell, *given) == found


@pytest.mark.usefixtures("folder")
def test_where_no_trial_can_be_trained_the_reason_is_recorded(tmp_path):
    asked = grid(write_features(tmp_path / "bare", labels=False), "deep_sm", tune=2)
    (reason,) = run_benchmark(asked, tmp_path / "to", "a command").failures
    assert reason.startswith("deep_sm learns from labels")


def test_what_has_nothing_to_tune_and_cannot_be_trained_is_recorded(folder, tmp_path):
    asked = grid(folder, "zero_shot", tune=2)
    (reason,) = run_benchmark(asked, tmp_path / "to", "a command").failures
    assert "share no space" in reason


def test_a_stopped_tuning_is_left_open(folder, tmp_path):
    asked = grid(folder, "cca", tune=2)
    sources = asked.sources()
    calls = iter(range(100))
    cells, board = asked.cells(sources), Board(tmp_path / "to")
    stop_asked = lambda: next(calls) > 0  # noqa: E731
    assert not list(train(asked, sources, cells, board, stop_asked=stop_asked))
    assert list(train(asked, sources, cells, board)) == cells
    assert isinstance(next(iter(cells[0].forms.values())), Settings) and board.done(cells[0])


def test_a_tuning_that_was_stopped_in_trials_tries_what_it_would_have_tried(
    folder, tmp_path, monkeypatch
):
    asked = grid(folder, "cca", tune=5, set=("cca.rank=1",))
    sources = asked.sources()
    (cell,) = asked.cells(sources)
    given = cell, sources[cell.dataset]
    found = tuning.tuned(*given, tmp_path / "whole", lambda: False)
    score = tuning._score
    for number in (0, 2):  # In its first trial, and then in its third one.
        calls = count()
        stopped = lambda *of: None if next(calls) == number else score(*of)  # noqa: B023, E731
        monkeypatch.setattr(tuning, "_score", stopped)
        assert tuning.tuned(*given, tmp_path / "parts", lambda: False) is None
    monkeypatch.setattr(tuning, "_score", score)
    assert tuning.tuned(*given, tmp_path / "parts", lambda: False) == found
    whole, parts = (
        [each.params for each in tuning._ended(study_of_cca(tmp_path / name))]
        for name in ("whole", "parts")
    )
    assert parts == whole and whole[0] == {"rank": "1"}
    assert len({each["rank"] for each in whole}) > 2


def test_where_the_last_epoch_is_kept_trials_are_compared_by_validation(folder, tmp_path):
    asked = grid(folder, "deep_sm", tune=2, epochs=1, set=("deep_sm.select_by=last",))
    done = run_benchmark(asked, tmp_path / "to", "a command")
    assert not done.failures and [row.method for row in done.tables[0].rows] == ["deep_sm"]


def test_what_fails_for_another_reason_than_its_settings_is_tried_again(
    folder, tmp_path, monkeypatch
):
    pytest.importorskip("optuna")
    asked = grid(folder, "cca", tune=4, set=("cca.rank=1",))
    calls, run_experiment = count(), tuning.run_experiment

    def full(*given, **options):  # From the third trial on.
        if next(calls) >= 2:
            raise InputError("`cache_dir` cache cannot be written (no space is left): free some.")
        return run_experiment(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "run_experiment", full)
        (reason,) = run_benchmark(asked, tmp_path / "to", "a command").failures
    assert "no space is left" in reason
    assert not run_benchmark(asked, tmp_path / "to", "a command").failures
    ended = tuning._ended(study_of_cca(tmp_path / "to/tuning"))
    assert len(ended) == 4 and ended[0].value and ended[0].params == {"rank": "1"}
    for trial in ended:  # Those that failed did so by the rank, of which there are too few pairs.
        assert trial.value or trial.user_attrs["reason"].startswith("`rank`")


def test_a_loss_that_is_not_finite_is_a_trial_that_is_over(folder, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    asked = grid(folder, "cca", tune=3, set=("cca.rank=1",))
    calls = count()

    def score(*_):
        if not next(calls):
            raise NonFiniteLoss("The loss became nan: lower `learning_rate`.")
        return 0.5

    monkeypatch.setattr(tuning, "_score", score)
    sources = asked.sources()
    (cell,) = asked.cells(sources)
    found = tuning.tuned(cell, sources[cell.dataset], tmp_path, lambda: False)
    ended = tuning._ended(study_of_cca(tmp_path))
    assert [trial.value for trial in ended] == [None, 0.5, 0.5]
    assert found.config.rank == json.loads(ended[1].params["rank"])


def test_what_the_forms_of_a_row_differ_in_is_among_what_is_tried(folder):
    asked = grid(folder, "scl", preset="recommended")
    (cell,) = asked.cells(asked.sources())
    of_forms = InputError("`start` zero_shot needs features of one space.")
    assert len(cell.forms) > 1 and "start" not in cell.space
    assert tuning._by_settings(of_forms, cell)
    assert not tuning._by_settings(InputError("`image_weights` x is not there."), cell)
