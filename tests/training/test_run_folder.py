from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from tfxmodal.errors import InputError
from tfxmodal.evaluation.figures import figure_png
from tfxmodal.training.run_folder import RunFolder, choose_run_dir

CONFIG = {
    "method": "scl",
    "data": {"dataset": "features", "data_dir": "some/where", "dataset_options": ["a=1"]},
    "training": {"epochs": 200, "seed": 0},
}


def begin(path, config, resume):
    """What a trainer does with its folder."""
    run = RunFolder(path)
    run.check(resume)
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


def test_the_run_dir_is_the_first_that_is_free_or_the_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for resume in (False, True):
        assert choose_run_dir(None, "scl-coco", resume) == Path("runs/scl-coco")
    Path("runs/scl-coco").mkdir(parents=True)
    assert choose_run_dir(None, "scl-coco", resume=False) == Path("runs/scl-coco-2")
    assert choose_run_dir(None, "scl-coco", resume=True) == Path("runs/scl-coco")
    Path("runs/scl-coco-2").mkdir()
    assert choose_run_dir(None, "scl-coco", resume=False) == Path("runs/scl-coco-3")
    assert choose_run_dir(None, "scl-coco", resume=True) == Path("runs/scl-coco-2")
    assert choose_run_dir(Path("mine"), "scl-coco", resume=True) == Path("mine")


@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch, inside):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="`run_dir` .* cannot be written .*name another folder"):
        RunFolder(tmp_path / inside).check(resume=False)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder(tmp_path / "runs" / "mine").check(resume=False)
