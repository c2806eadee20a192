import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from tfxmodal.errors import InputError
from tfxmodal.evaluation.figures import figure_png
from tfxmodal.io.locks import InUse
from tfxmodal.training.run_folder import RunFolder, claimed_run

CONFIG = {
    "method": "scl",
    "data": {"dataset": "features", "data_dir": "some/where", "dataset_options": ["a=1"]},
    "training": {"epochs": 200, "seed": 0},
}


def begin(path, config, resume):
    """What a trainer does with its folder."""
    with RunFolder(path).claimed(resume) as run:
        run.create(config)
    return run


def test_a_new_run_writes_its_configuration(tmp_path):
    run = begin(tmp_path / "runs" / "scl", CONFIG, False)
    assert run.config == RunFolder(tmp_path / "runs" / "scl").config
    assert run.config["data"]["data_dir"] == "some/where"
    assert run.config["training"] == CONFIG["training"]


def test_a_run_is_not_trained_over(tmp_path):
    begin(tmp_path, CONFIG, False)
    with pytest.raises(InputError, match="holds a run already; add `resume` or name another"):
        begin(tmp_path, CONFIG, False)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_other_things_is_left_alone(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        begin(tmp_path, CONFIG, resume)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(InputError, match="has no config.json: give the folder of a run"):
        _ = RunFolder(tmp_path).config


def test_a_damaged_file_of_a_run_is_told(tmp_path):
    (tmp_path / "config.json").write_text('{"method": "sc')
    with pytest.raises(InputError, match="config.json"):
        _ = RunFolder(tmp_path).config


def test_files_are_written_whole_or_not_at_all(tmp_path):
    run = RunFolder(tmp_path)
    run.write_json("metrics.json", {"map_all": 0.5})
    with pytest.raises(TypeError):
        run.write_json("metrics.json", {"map_all": object()})
    assert run.read_json("metrics.json") == {"map_all": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.write_json("metrics.json", {"map_all": 0.5})

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        run.write_json("metrics.json", {"map_all": 0.6})
    assert run.read_json("metrics.json") == {"map_all": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


def test_figures_are_pictures(tmp_path):
    figure, _ = plt.subplots()
    RunFolder(tmp_path).write_figures({"precision_recall": figure_png(figure)})
    png = (tmp_path / "figures" / "precision_recall.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def claimed(given=None, resume=False, config=CONFIG):
    """The folder that a training takes, in which it begins unless it has no config."""
    with claimed_run(given, "scl-coco", resume) as run:
        if config is not None:
            run.create(config)
        return run.path


def test_the_run_dir_is_the_first_that_is_free_or_the_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second, third = (Path(f"runs/scl-coco{end}") for end in ("", "-2", "-3"))
    assert claimed(resume=True) == first
    assert claimed() == second
    assert claimed(resume=True) == second
    third.mkdir()
    (third / "thesis.tex").touch()
    assert claimed() == Path("runs/scl-coco-4")
    assert claimed(Path("mine"), resume=True) == Path("mine")


def test_a_training_that_fails_before_it_begins_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (None, Path("mine"), Path("deep/er/mine")):
        with pytest.raises(KeyError), claimed_run(given, "scl-coco", False) as run:
            assert run.path.is_dir()
            raise KeyError
        assert not list(tmp_path.iterdir())


def test_a_name_whose_process_was_killed_before_it_began_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert claimed() == Path("runs/scl-coco")
    Path("runs/scl-coco-2").mkdir()
    Path("runs/scl-coco-2/.lock").write_text("process 1 on a, since yesterday")
    assert claimed(resume=True) == Path("runs/scl-coco")
    assert claimed() == Path("runs/scl-coco-2")
    assert not Path("runs/scl-coco-2/.lock").exists()


def test_trainings_at_once_take_folders_of_their_own(tmp_path):
    """Six processes that begin at the same moment, and end only when all have begun."""
    program = """
import sys, time
from pathlib import Path
from tfxmodal.training.run_folder import claimed_run
print("ready", flush=True)
sys.stdin.readline()
with claimed_run(None, "scl-coco", False) as run:
    run.create({"method": "scl"})
    print(run.path, flush=True)
    sys.stdin.readline()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, cwd=tmp_path, **pipes) for _ in range(6)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        print(file=process.stdin, flush=True)
    folders = {process.stdout.readline().strip() for process in processes}
    assert folders == {"runs/scl-coco", *(f"runs/scl-coco-{n}" for n in range(2, 7))}

    with pytest.raises(InUse, match=r"`run_dir` .*scl-coco is in use by process \d+ on "):
        begin(tmp_path / "runs/scl-coco", CONFIG, True)  # A second --resume,
    with pytest.raises(InUse, match="in use by process"):
        begin(tmp_path / "runs/scl-coco", CONFIG, False)  # and an equal --run-dir.
    for process in processes:
        process.communicate("\n")
        assert process.returncode == 0
    begin(tmp_path / "runs/scl-coco", CONFIG, True)


@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch, inside):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="`run_dir` .* cannot be written .*name another folder"):
        begin(tmp_path / inside, CONFIG, resume=False)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        begin(tmp_path / "runs" / "mine", CONFIG, resume=False)
