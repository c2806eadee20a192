"""Runs and choices that are stopped and go on by the command line, on small made-up features."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.test_experiment import settings
from tests.training.tiny import make_pairs
from tfxmodal.commands import auto, benchmark, cli, train
from tfxmodal.commands.terminal import Terminal
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.prepare import prepare
from tfxmodal.training import candidates, experiment
from tfxmodal.training.candidates import run_best
from tfxmodal.training.experiment import RunResult
from tfxmodal.training.loop import Trainer

SMALL = "--epochs 2 --batch-size 16 --learning-rate 0.01 --hidden-units 8 --embedding-dim 4".split()
FORMS = ["scl", "--dataset", "features", "--data-dir", "a", *SMALL, "--alpha", "0"]


@pytest.fixture(autouse=True)
def folders():
    """Folders of ready features, `a` and `b`, under the current one."""
    for folder, seed in (("a", 0), ("b", 100)):
        Path(folder).mkdir()
        for split, n in (("train", 64), ("validation", 24), ("test", 24)):
            pairs = make_pairs(n, seed + n)
            for kind, array in (("img", pairs.images), ("txt", pairs.texts), ("lab", pairs.labels)):
                np.save(f"{folder}/{split}_{kind}.npy", array)


def read(file: str) -> dict:
    return json.loads(Path(file).read_text())


def chosen(run: str = "run"):
    """A choice between methods, as `auto` makes it."""
    data = DataConfig("features", data_dir=Path("a"))
    named = {n: replace(settings("pls", components=n), data=data) for n in (1, 2)}
    named = {f"pls-{n}": each for n, each in named.items()}
    return run_best(lambda _: named, data, "auto", 7.0, Path(run))


def test_a_choice_that_is_made_goes_on_as_the_run_of_its_winner(complaint):
    before = chosen()
    auto.main(["--run-dir", "run", "--resume"])
    assert read("run/config.json")["data"]["data_dir"] == "a"
    assert read("run/metrics.json")["test"] == before.metrics["test"]
    told = complaint(auto.main, "--run-dir", "run", "--resume", "--dataset", "emoji_scenes")
    assert "begun with other settings (data.dataset: features -> emoji_scenes)" in told
    told = complaint(auto.main, "--run-dir", "run", "--resume", "--seed", "3")
    assert "begun with other settings (training.seed: 0 -> 3)" in told
    told = complaint(auto.main, "--run-dir", "run", "--resume", "--data-dir", "b")
    assert "begun with other pairs" in told and "give those as --data-dir" in told
    assert read("run/config.json")["data"]["data_dir"] == "a"
    assert read("run/metrics.json")["test"] == before.metrics["test"]


def test_a_run_that_auto_did_not_choose_is_told(complaint):
    train.main(["pls", "--dataset", "features", "--data-dir", "a", "--run-dir", "run"])
    told = complaint(auto.main, "--run-dir", "run", "--resume")
    assert "--run-dir run holds a run of pls that auto did not choose" in told


@pytest.mark.parametrize("run", [["--run_dir", "first"], ["--run_dir=first"]])
def test_a_run_named_with_an_underscore_goes_on_with_its_own_settings(run):
    given = ["scl", "--dataset", "features", "--data-dir", "a", "--preset", "paper", "--alpha", "0"]
    train.main([*given, *SMALL, "--run-dir", "first"])
    train.main(
        [*given, *SMALL, "--epochs", "1", "--seed", "1"]
    )  # The newest of the method and dataset.
    assert read("runs/scl-features/config.json")["training"]["epochs"] == 1
    before = read("first/metrics.json")
    train.main(["scl", "--dataset", "features", *run, "--resume"])
    assert read("first/config.json")["training"]["epochs"] == 2
    assert read("first/metrics.json")["test"] == before["test"]


class Killed(Exception):
    pass


@pytest.fixture
def killed_in(monkeypatch):
    """`killed_in(n, main, words)`: a command that is killed when its n-th training begins."""

    def kill(number: int, main, words):
        begun, epochs = [], Trainer.epochs

        def some(trainer, *args):
            begun.append(trainer)
            if len(begun) == number:
                raise Killed
            return epochs(trainer, *args)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Trainer, "epochs", some)
            main(words)

    return kill


def test_a_choice_between_forms_goes_on_with_its_own_settings(killed_in, complaint):
    given = [*FORMS, "--seed", "7", "--minutes", "3", "--run-dir", "run"]
    killed_in(2, train.main, given)
    first = next(Path("run/candidates").glob("*/metrics.json"))
    seconds = read(first)["seconds"]
    told = complaint(train.main, "scl", "--run-dir", "run", "--resume", "--seed", "1")
    assert "begun with other settings (training.seed: 7 -> 1): leave them out to go on" in told
    told = complaint(train.main, "drsl", "--run-dir", "run", "--resume")
    assert "Unknown method for run 'drsl'; use one of: scl" in told
    name = first.parent.name
    train.main(["scl", "--run-dir", "run", "--resume"])
    tried = {each["name"]: each for each in read("run/candidates.json")["candidates"]}
    assert len(tried) > 1 and None not in [each["score"] for each in tried.values()]
    assert {each["settings"]["training"]["seed"] for each in tried.values()} == {7}
    assert {each["settings"]["scl"]["hidden_units"] for each in tried.values()} == {8}
    assert tried[name]["seconds"] == seconds  # It was not trained again.
    share = tried[name]["settings"]["training"]["minutes"]
    assert share == pytest.approx(3 / len(tried))


def test_a_preset_is_refused_where_the_run_began_with_another(killed_in, complaint):
    resume = ["--run-dir", "run", "--resume"]
    recommended = [*FORMS, "--preset", "recommended", *resume]  # Begins the run, too.
    killed_in(2, train.main, recommended)
    told = complaint(train.main, *FORMS, "--preset", "paper", *resume)
    assert "--preset paper has other settings than the run began with: leave it out" in told
    for _ in ("the choice", "its winner"):
        train.main(recommended)
    before = read("run/config.json")
    told = complaint(train.main, "scl", "--preset", "paper", *resume)
    assert "--preset paper has other settings than the run began with" in told
    assert read("run/config.json") == before


def test_a_choice_by_auto_goes_on_with_its_own_settings(monkeypatch, killed_in, complaint):
    def two(dataset, data, fitting):
        form = replace(settings("scl", seed=fitting.seed), data=data)
        return {"scl-a": form, "scl-b": form.having(dropout=0.0)}

    given = "--dataset features --data-dir a --seed 7 --minutes 3 --run-dir run".split()
    with monkeypatch.context() as patch:  # Another version may know other candidates.
        patch.setattr("tfxmodal.training.candidates.suited", two)
        killed_in(2, auto.main, given)
    assert read("run/candidates/choice.json")["minutes"] == 3
    told = complaint(auto.main, "--run-dir", "run", "--resume", "--seed", "1")
    assert "begun with other settings (training.seed: 7 -> 1)" in told
    auto.main(["--run-dir", "run", "--resume"])
    tried = {each["name"]: each for each in read("run/candidates.json")["candidates"]}
    assert tried.keys() == {"scl-a", "scl-b"}
    assert {each["settings"]["training"]["seed"] for each in tried.values()} == {7}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("method", ["pls", "scl"])
def test_a_signal_before_the_training_ends_the_command_at_once(method, number, code, monkeypatch):
    def prepare(*args, **named):
        os.kill(os.getpid(), number)
        raise AssertionError("Nobody heard the signal.")

    monkeypatch.setattr(experiment, "prepare", prepare)
    words = [method, "--dataset", "features", "--data-dir", "a", "--run-dir", "run"]
    assert code_of(train.main, words) == code and not Path("run").exists()


def code_of(main, words: list[str]) -> int:
    """The exit code of a command that does not end by itself."""
    with pytest.raises(SystemExit) as exit:
        cli.run(lambda: main(words))
    return exit.value.code


def test_a_signal_in_a_training_saves_its_state(monkeypatch, capsys):
    def epoch(terminal, report):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Terminal, "epoch", epoch)
        assert code_of(train.main, [*FORMS, "--preset", "paper", "--run-dir", "run"]) == 143
    assert "Stopped; the state is saved." in capsys.readouterr().out
    train.main(["scl", "--run-dir", "run", "--resume"])
    assert read("run/metrics.json")["epochs"] == 2


@pytest.mark.parametrize("words", [FORMS, ["auto", *FORMS[1:5]]])
def test_a_run_that_is_not_done_is_no_success(words, monkeypatch):
    """No signal came here, as where another worker had it."""
    for name in ("run_forms", "run_best"):
        stopped = RunResult(Path("run"), settings("scl"), {})
        monkeypatch.setattr(candidates, name, lambda *_, result=stopped, **__: result)
    assert code_of(train.main, words) == 143


def test_a_signal_in_a_benchmark_lets_the_fit_end_and_writes_the_report(monkeypatch, capsys):
    def prepared(*args, **named):
        os.kill(os.getpid(), signal.SIGINT)
        return prepare(*args, **named)

    monkeypatch.setattr(experiment, "prepare", prepared)
    words = "--to b --methods pls ridge_cca --datasets features=a --seeds 0".split()
    assert code_of(benchmark.main, words) == 130
    told = capsys.readouterr().out
    assert "Stopped; 1 trainings are left." in told and Path("b/report.html").exists()
