from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.training.test_experiment import dataset, settings
from tests.training.tiny import SMALL, make_pairs, small_method, unpaired
from tfxmodal.data.label_noise import with_label_noise
from tfxmodal.data.pairs import labelled
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.methods import METHODS
from tfxmodal.methods.few_labels import (
    FewLabels,
    labelled_images,
    labelled_rows,
    with_few_labels,
)
from tfxmodal.training.experiment import run_experiment

WITH_LABELS = [name for name, spec in METHODS.items() if spec.needs_labels]


def test_the_labels_of_the_other_rows_are_hidden():
    train = make_pairs()
    seen = with_few_labels(train, FewLabels(labelled_fraction=0.25), seed=3)
    rows = labelled_rows(train.labels, 0.25, "stratified", 3)
    np.testing.assert_array_equal(labelled(seen.labels), rows)
    np.testing.assert_array_equal(seen.labels[rows], train.labels[rows])
    assert seen.images is train.images
    assert with_few_labels(train, FewLabels(), 3) is train


def test_all_rows_of_an_image_are_seen_or_none():
    owners = np.arange(30) // 3
    labels = np.eye(2, dtype=np.uint8)[owners % 2]
    train = replace(make_pairs(30), labels=labels, image_ids=owners.astype(str))
    for how in ("stratified", "first"):
        seen = with_few_labels(train, FewLabels(labelled_fraction=0.4, labelled_rows=how), seed=1)
        rows = labelled(seen.labels)
        assert len(rows) == 12 and len(np.unique(owners[rows])) == 4
        np.testing.assert_array_equal(seen.labels[rows], labels[rows])
        np.testing.assert_array_equal(rows, labelled_images(train, 0.4, how, 1))


def test_unpaired_sets_are_chosen_from_by_themselves():
    train = unpaired()
    seen = with_few_labels(train, FewLabels(labelled_fraction=0.5, labelled_rows="first"), 0)
    for before, after in ((train.labels, seen.labels), (train.text_labels, seen.text_labels)):
        rows = labelled(after)
        np.testing.assert_array_equal(rows, labelled(before)[: len(rows)])
        assert 0 < len(rows) < len(before)


@pytest.mark.parametrize("seed", range(10))
def test_each_class_is_seen_where_pairs_have_several(seed):
    random = np.random.default_rng(seed)
    labels = np.zeros((60, 6), np.uint8)
    labels[:50, 0] = 1  # Of most pairs the first class is the same.
    labels[np.arange(60), random.integers(1, 5, 60)] = 1  # And nothing is of the last one.
    rows = labelled_rows(labels, 0.1, "stratified", seed)
    assert labels[rows].any(axis=0).tolist() == [True] * 5 + [False]
    assert len(np.unique(rows)) == len(rows) < 15
    np.testing.assert_array_equal(rows, labelled_rows(labels, 0.1, "stratified", seed))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_a_fraction_is_above_0_and_at_most_1(fraction):
    with pytest.raises(InputError, match="`labelled_fraction` must be from above 0 to 1"):
        FewLabels(labelled_fraction=fraction)


@pytest.mark.parametrize("method", WITH_LABELS)
def test_every_method_with_labels_can_see_few(method):
    assert issubclass(METHODS[method].config, FewLabels) and METHODS[method].seen is with_few_labels


LEARNERS = [name for name in WITH_LABELS if METHODS[name].learner]


def taught(labels: np.ndarray, method: str) -> np.ndarray:
    """The rows that a method learns from: of a semi-supervised one all, else those with labels."""
    semi = METHODS[method].setting == "semi-supervised"
    return np.arange(len(labels)) if semi else np.flatnonzero(labels.any(axis=1))


@pytest.mark.parametrize("method", LEARNERS)
def test_rows_without_a_label_are_left_out_of_a_supervised_training(method):
    """Else an unlabelled image would be trained to be unlike its own text."""
    train = make_pairs()
    train.labels[::3] = 0
    rows = small_method(method, train).streams(train, 0)["pairs"]
    np.testing.assert_array_equal(rows, taught(train.labels, method))


@pytest.mark.parametrize(
    "method", [name for name in LEARNERS if METHODS[name].setting == "supervised"]
)
def test_what_follows_from_rows_is_the_same_whatever_a_row_without_a_label_is(method):
    """Such as the scaling of the features."""
    found, validation, spec = [], make_pairs(16, seed=1), METHODS[method]
    for shift in (0, 100):
        keras.utils.set_random_seed(0)
        train = make_pairs()
        train.labels[::3] = 0
        train.images[::3] += shift
        train.texts[::3] -= shift
        scaling = {"image_scaling": "standard", "text_scaling": "standard"}
        config, _ = spec.decide(spec.config(**SMALL[method] | scaling), train, DataConfig())
        learner = spec.learner(MethodInputs.of(train), config)
        before = [variable.numpy() for variable in non_trainable(learner)]
        learner.adapt(train, validation)
        learner.settle(train)
        found.append([variable.numpy() for variable in non_trainable(learner)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not all(map(np.array_equal, before, found[0]))


def non_trainable(learner) -> list:
    networks = learner.networks.values()
    return [each for network in networks for each in network.non_trainable_variables]


@pytest.mark.parametrize("method", [name for name in LEARNERS if not METHODS[name].needs_pairs])
def test_rows_without_a_label_are_left_out_of_unpaired_sets(method):
    train = unpaired()
    train.labels[:7] = 0
    train.text_labels[::3] = 0
    streams = small_method(method, train).streams(train, 0)
    np.testing.assert_array_equal(streams["images"], taught(train.labels, method))
    np.testing.assert_array_equal(streams["texts"], taught(train.text_labels, method))


def test_a_run_learns_from_the_labels_it_may_see(tmp_path):
    """It equals a run on pairs that have no other labels, and with noise one on noisy pairs."""
    data = dataset()
    few = run_experiment(
        settings("semantic_matching", labelled_fraction=0.3), tmp_path / "few", dataset=data
    )
    train = with_few_labels(data.train, FewLabels(labelled_fraction=0.3), 0)
    alone = data.replace_splits(train=train)
    expected = run_experiment(settings("semantic_matching"), tmp_path / "alone", dataset=alone)
    whole = run_experiment(settings("semantic_matching"), tmp_path / "whole", dataset=data)
    assert few.metrics["test"] == expected.metrics["test"] != whole.metrics["test"]

    noisy = replace(settings("semantic_matching"), data=DataConfig("features", label_noise=0.6))
    found = run_experiment(noisy, tmp_path / "noisy", dataset=data)
    train = with_label_noise(data.train, 0.6, "symmetric", 0)
    alone = data.replace_splits(train=train)
    expected = run_experiment(settings("semantic_matching"), tmp_path / "expected", dataset=alone)
    assert found.metrics["test"] == expected.metrics["test"] != whole.metrics["test"]


@pytest.mark.parametrize("method", ["gss_sl", "jrl", "mvda", "mvda_vc", "mcsm"])
@pytest.mark.parametrize("classes", [1, 2])
def test_labels_that_are_all_the_same_are_refused(method, classes, tmp_path):
    """Else rounding, or a network as it was drawn, would be ranked."""
    data, alike = dataset(), np.uint8([1, classes == 2, 0])
    train = replace(data.train, labels=np.tile(alike, [64, 1]))
    first = replace(data.train, labels=np.repeat([alike, alike[::-1]], 32, axis=0))
    for pairs, given in (
        (train, {}),
        (first, {"labelled_fraction": 0.5, "labelled_rows": "first"}),
    ):
        told = rf"`labels` must separate the training .* {classes} class\(es\).*: give rows of at"
        with pytest.raises(InputError, match=told):
            pairs = data.replace_splits(train=pairs)
            run_experiment(settings(method, **given), tmp_path / "run", dataset=pairs)


@pytest.mark.parametrize("method", ["pls", "scl", "distil"])
def test_label_noise_without_labels_is_refused_at_once(tmp_path, method):
    given = {"teacher": tmp_path} if method == "distil" else {}
    noisy = replace(settings(method, **given), data=DataConfig("features", label_noise=0.2))
    with pytest.raises(InputError, match=f"`label_noise` 0.2 changes nothing for {method}"):
        run_experiment(noisy, tmp_path / "run", dataset=dataset())
    assert not (tmp_path / "run/config.json").exists()
