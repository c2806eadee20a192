"""Students of trained runs."""

import shutil
from dataclasses import replace

import pytest

from tests.training.test_experiment import (
    captioned,
    dataset,
    results,
    settings,
)
from tfxmodal.data.pairs import Dataset
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.training import experiment
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.settings import Settings
from tfxmodal.training.trained_run import load_run


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "drsl"
    return run_experiment(settings("drsl"), folder, dataset=dataset(), figures=False).folder


def student(teacher, **values) -> Settings:
    return settings("distil", teacher=teacher, hidden_units=(8,), embedding_dim=4, **values)


def test_a_student_opens_without_its_teacher_and_goes_on_as_if_never_stopped(teacher, tmp_path):
    whole = run_experiment(student(teacher), tmp_path / "whole", dataset=dataset())
    asked = iter([False, True])
    stopped = run_experiment(
        student(teacher), tmp_path / "run", dataset=dataset(), stop_asked=lambda: next(asked)
    )
    assert not stopped.finished
    ended = run_experiment(student(teacher), tmp_path / "run", resume=True, dataset=dataset())
    assert results(ended.metrics) == results(whole.metrics)
    away = teacher.rename(teacher.with_name("away"))
    try:
        run = load_run(tmp_path / "run")
        assert run.scorer().is_dot_product and run.settings.config.teacher == teacher
    finally:
        away.rename(teacher)


def test_a_student_goes_on_with_its_teacher_alone_wherever_that_is(teacher, tmp_path):
    data, run = dataset(), tmp_path / "run"
    asked = iter([False, True])
    run_experiment(student(teacher), run, dataset=data, stop_asked=lambda: next(asked))
    moved, other = tmp_path / "moved", settings("drsl", seed=1)
    run_experiment(other, moved, dataset=data, figures=False)
    told = "another teacher .fingerprint .* give the same weights, as `teacher`, or name another"
    with pytest.raises(InputError, match=told):
        run_experiment(student(moved), run, resume=True, dataset=data)
    shutil.rmtree(moved)
    shutil.copytree(teacher, moved)
    whole = run_experiment(student(teacher), tmp_path / "whole", dataset=data)
    ended = run_experiment(student(moved), run, resume=True, dataset=data)
    assert results(ended.metrics) == results(whole.metrics)
    assert load_run(run).settings.config.teacher == moved


def test_labels_of_the_students_pairs_are_not_asked_for(teacher, tmp_path):
    data = dataset()
    data.train.labels[:] = 0
    result = run_experiment(student(teacher, binary=16), tmp_path / "run", dataset=data)
    assert result.finished and load_run(result.folder).scorer().is_hamming


def test_a_teacher_without_networks_is_refused_before_any_work(tmp_path, monkeypatch):
    chance = run_experiment(settings("random"), tmp_path / "random", dataset=dataset()).folder
    monkeypatch.setattr(experiment, "prepare", None)
    told = "`teacher` .*random is a run of random, which has no networks to learn from: give"
    with pytest.raises(InputError, match=told):
        run_experiment(student(chance), tmp_path / "run", dataset=dataset())
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_reads_other_features_is_refused(teacher, tmp_path):
    narrow = {name: pairs.with_features(pairs.images[:, :5]) for name, pairs in dataset().splits()}
    with pytest.raises(InputError, match=r"image features are 5 wide and those .* trained on 6"):
        run_experiment(
            student(teacher), tmp_path / "narrow", dataset=dataset().replace_splits(**narrow)
        )
    wrong = {name: pairs.with_features(-pairs.images) for name, pairs in dataset().splits()}
    others = dataset().replace_splits(**wrong)
    told = "`teacher` .*drsl learned from another dataset of ready features, .* give the dataset"
    with pytest.raises(InputError, match=told):
        run_experiment(student(teacher), tmp_path / "others", dataset=others)
    texts = Dataset("pairs", *(captioned(n, n) for n in (40, 20, 10)))
    data = DataConfig("pairs", cache_dir=tmp_path / "c")
    of_texts = replace(settings("ridge_cca"), data=data)
    run = run_experiment(of_texts, tmp_path / "of_texts", dataset=texts).folder
    small = replace(student(run), data=replace(data, vocabulary_size=9))
    with pytest.raises(InputError, match="text features are 9 wide and those .* trained on 12"):
        run_experiment(small, tmp_path / "small", dataset=texts)
    words = {
        name: replace(
            pairs, texts=[tuple(t.replace("red", "rot") for t in ts) for ts in pairs.texts]
        )
        for name, pairs in texts.splits()
    }
    with pytest.raises(InputError, match="reads features of the text encoder .* and these are of"):
        run_experiment(
            replace(student(run), data=data),
            tmp_path / "words",
            dataset=texts.replace_splits(**words),
        )
    assert {path.name for path in tmp_path.iterdir()} == {"c", "of_texts"}
