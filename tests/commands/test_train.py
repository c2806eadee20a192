"""The command that trains any method, on small features."""

import json
from pathlib import Path

import pytest

from tfxmodal.commands import build_index, evaluate, train
from tfxmodal.methods import METHODS

SMALL = "--preset paper --epochs 2 --batch-size 16 --hidden-units 8"


@pytest.fixture
def flags(small) -> list[str]:
    return list(small("features"))


def metrics(run: str) -> dict:
    return json.loads((Path(run) / "metrics.json").read_text())


def test_without_a_method_it_lists_them(capsys):
    train.main([])
    told = capsys.readouterr().out
    assert all(name in told for name in METHODS) and "METHOD --help" in told


def test_an_unknown_method_is_told(complaint):
    names = ", ".join(sorted(["auto", *METHODS]))
    assert f"Unknown method 'slc'; use one of: {names}." in complaint(train.main, "slc")


def test_a_number_out_of_range_is_told_before_any_work(complaint):
    told = complaint(train.main, "auto", "--minutes", "nan")
    assert "--minutes must be at least 0; received nan" in told
    told = complaint(train.main, "pls", "--seed", "-1")
    assert "--seed must be from 0 to 4294967295; received -1" in told
    told = complaint(train.main, "scl", "--alpha", "-1")
    assert "--alpha must be at least 0; received -1.0" in told


@pytest.mark.parametrize("method", ["ridge_cca", "random"])
def test_a_method_in_closed_form_is_a_run_like_any_other(method, flags, capsys):
    train.main([method, *flags, "--run-dir", "run"])
    told = capsys.readouterr().out
    assert METHODS[method].title in told
    assert metrics("run")["test"]["map_all"]["average"] > 0
    evaluate.main(["--run", "run", "--baseline", "random"])
    found = metrics("run/evaluation/features-test")["methods"][method]
    assert found["map_all"] == metrics("run")["test"]["map_all"]
    if method != "random":
        build_index.main(["--run", "run", "--to", "index", "--data", "test"])
        assert "holds 12 images (exact)" in capsys.readouterr().out


def test_resume_alone_takes_the_runs_own_settings(flags):
    given = [*flags, *SMALL.split(), "--alpha", "0", "--seed", "7", "--run-dir", "run"]
    train.main(["scl", *given])
    before = json.loads(Path("run/config.json").read_text())
    train.main(["scl", "--run-dir", "run", "--resume"])
    assert json.loads(Path("run/config.json").read_text()) == before
    train.main(["scl", "--run-dir", "run", "--resume", "--epochs", "4", "--memory-gb", "0"])
    now = json.loads(Path("run/config.json").read_text())
    assert metrics("run")["epochs"] == 4
    assert now["training"] == before["training"] | {"epochs": 4, "memory_gb": 0.0}


def test_the_recommended_forms_are_tried_as_the_flags_change_them(flags, capsys):
    small = [*SMALL.split()[2:], "--alpha", "0", "--run-dir", "run"]
    train.main(["scl", *flags, *small, "--output-activation", "relu"])
    tried = json.loads(Path("run/candidates.json").read_text())["candidates"]
    forms = [each["settings"]["scl"] for each in tried]
    # A form that starts as a linear map does not go with ReLU, and is left out.
    assert {(each["start"], each["output_activation"]) for each in forms} == {("random", "relu")}
    told = capsys.readouterr().out
    assert "Candidates" in told
    left_out = "scl-from-linear is left out: --start linear needs --output-activation linear: "
    assert told.index(left_out) < told.index("Candidate 1 of")
    train.main(["scl", "--run-dir", "run", "--resume", "--epochs", "3"])
    assert metrics("run")["epochs"] == 3


def test_the_help_tells_what_is_in_force(capsys):
    for dataset, preset in (("coco", "paper"), ("pairs", "recommended")):
        with pytest.raises(SystemExit):
            train.main(["scl", "--help", "--dataset", dataset])
        told = capsys.readouterr().out
        assert f"In force for --dataset {dataset}: --preset {preset}" in told
        assert "(default: recommended)" not in told


def test_what_would_change_the_result_is_refused_when_a_run_goes_on(flags, complaint):
    train.main(["scl", *flags, *SMALL.split(), "--alpha", "0", "--run-dir", "run"])
    told = complaint(train.main, "scl", "--run-dir", "run", "--resume", "--seed", "1")
    assert "training.seed: 0 -> 1" in told
    told = complaint(train.main, "drsl", "--run-dir", "run", "--resume")
    assert "Unknown method for run 'drsl'; use one of: scl" in told
    told = complaint(train.main, "scl", *flags, "--run-dir", "run")
    assert "--run-dir run holds a run already; add --resume" in told


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_read(complaint, tmp_path):
    (tmp_path / "file").write_text("a file")
    told = complaint(train.main, *"scl --dataset coco --run-dir file/run".split())
    assert "--run-dir file/run cannot be written" in told
