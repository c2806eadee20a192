"""Two commands that would write the same place at once: the second is told who was first."""

import os
import threading
from pathlib import Path

import pytest

from tests.commands.test_train import SMALL
from tfxmodal.commands import (
    build_index,
    evaluate,
    export_savedmodel,
    extract_features,
    release,
    train,
    train_towers,
)
from tfxmodal.data.datasets import emoji_scenes
from tfxmodal.io.locks import LOCK, held, lock_beside


@pytest.fixture
def refused(complaint):
    """`refused(lock, main, *flags)`: what a command says while another process has the lock."""

    def of(lock: Path, main, *flags: str) -> str:
        with held(lock, "it"):
            told = complaint(main, *flags)
            assert [path for path in lock.parent.iterdir() if path.name.endswith(LOCK)] == [lock]
        return told

    return of


def used(name: str) -> str:
    """What is said of a place that this process holds."""
    return f" {name} is in use by process {os.getpid()} on "


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_trainings(refused, small, resume):
    flags = ["scl", *small("features"), *SMALL.split(), "--run-dir", "run", *resume]
    assert used("--run-dir run") in refused(Path("run") / LOCK, train.main, *flags)
    assert not Path("run").exists()


def test_trainings_of_encoders(refused, small):
    flags = [*small("pascal_sentences"), "--to", "t", "--modality", "text"]
    assert used("--to t/text") in refused(Path("t/text") / LOCK, train_towers.main, *flags)
    assert not Path("t").exists()


def test_evaluations(refused, trained, small):
    run = trained("features", "pls")
    lock = run / "evaluation" / "mine" / LOCK
    told = refused(lock, evaluate.main, "--run", str(run), "--name", "mine")
    assert used(f"--name mine of {run}") in told


def test_exports_of_features(refused, small):
    lock = lock_beside(Path("out").absolute())
    told = refused(lock, extract_features.main, *small("features"), "--export", "out")
    assert used("--export out") in told


def test_additions_to_an_index(refused):
    flags = ["--run", "run", "--to", "index", "--data", "photos", "--add"]
    lock = lock_beside(Path("index").absolute())
    assert used("--to index") in refused(lock, build_index.main, *flags)


def test_exports_of_a_run(refused, trained):
    """Before the gallery is embedded, which may take hours: it is not even looked for."""
    run = str(trained("features", "pls"))
    flags = ["--run", run, "--to", "models/m", "--gallery", "nowhere"]
    told = refused(Path("models/m") / LOCK, export_savedmodel.main, *flags)
    assert used("--to models/m") in told


def test_releases(refused):
    flags = ["promote", "--config", "models.config"]
    lock = lock_beside(Path("models.config").absolute())
    assert used("--config models.config") in refused(lock, release.main, *flags)


def test_trainings_that_both_draw_the_scenes(tmp_path, monkeypatch):
    """The second waits, and finds them drawn."""
    drawn, draw = [], emoji_scenes._draw_all

    def counted(*arguments):
        drawn.append(arguments)
        draw(*arguments)

    monkeypatch.setattr(emoji_scenes, "_draw_all", counted)
    loaded = []
    threads = [
        threading.Thread(target=lambda: loaded.append(emoji_scenes.load(tmp_path, size=60)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 1 and [len(each.train) for each in loaded] == [48] * 3
