from dataclasses import replace

import numpy as np
import pytest

from tests.methods.closed_form.test_graphs import z_scored
from tests.methods.closed_form.test_jrl import odd_pairs, with_unlabelled
from tests.methods.closed_form.test_semantic_matching import labelled
from tfxmodal.methods.closed_form import gss_sl
from tfxmodal.methods.closed_form.graphs import label_graph
from tfxmodal.methods.closed_form.gss_sl import CERTAINTY, GSSSLConfig, Problem

CONFIG = GSSSLConfig(sparsity=0.5, smoothness=0.3, label_smoothness=0.7)


def laplacian(factor: np.ndarray) -> np.ndarray:
    return np.eye(len(factor)) - factor @ factor.T


def oracle_objective(train, maps, predicted, graph, config) -> float:
    """The objective as it is written, with a dense graph."""
    y, value = np.float64(train.labels), 0.0
    for kind, rows in (("image", train.images), ("text", train.texts)):
        x, u = z_scored(rows), maps[kind]
        value += np.sum((x @ u - predicted) ** 2)
        value += config.sparsity * sum(np.linalg.norm(row) for row in u)
        value += config.smoothness * np.trace(u.T @ x.T @ laplacian(graph) @ x @ u)
    certain = CERTAINTY * y.any(axis=1)[:, None]
    value += np.sum(certain * (predicted - y) ** 2)
    return value + config.label_smoothness * np.trace(predicted.T @ laplacian(graph) @ predicted)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_both_steps_lower_the_objective_of_a_graph(several):
    train = with_unlabelled(several)
    problem = Problem(train)
    maps = problem.start(CONFIG)
    predicted = np.float64(train.labels)
    graph = problem.graph(np.random.default_rng(0).random(predicted.shape))
    values = []
    for _ in range(8):
        maps = problem.maps(predicted, graph, maps, CONFIG)
        values.append(oracle_objective(train, maps, predicted, graph, CONFIG))
        predicted = problem.predicted(maps, graph, CONFIG)
        values.append(oracle_objective(train, maps, predicted, graph, CONFIG))
    assert (np.diff(values) <= 1e-8 * values[0]).all() and values[-1] < values[0]


def test_the_predicted_labels_solve_their_equation():
    train = with_unlabelled(False)
    problem = Problem(train)
    maps = problem.start(CONFIG)
    graph = problem.graph(np.random.default_rng(0).random(train.labels.shape))
    y = np.float64(train.labels)
    q = CERTAINTY * np.diag(y.any(axis=1))
    system = 2 * np.eye(len(y)) + q + CONFIG.label_smoothness * laplacian(graph)
    wanted = z_scored(train.images) @ maps["image"] + z_scored(train.texts) @ maps["text"]
    expected = np.linalg.solve(system, wanted + q @ y)
    np.testing.assert_allclose(problem.predicted(maps, graph, CONFIG), expected, atol=1e-5)


def test_one_graph_of_the_labels_that_are_known_and_of_those_predicted():
    train = with_unlabelled(True)
    predicted = np.random.default_rng(0).standard_normal(train.labels.shape)
    rows = np.float64(train.labels)
    rows[::3] = np.maximum(predicted[::3], 0)
    np.testing.assert_array_equal(Problem(train).graph(predicted), label_graph(rows))


def test_with_all_labels_the_predicted_ones_are_those():
    train = labelled(40, 0)
    problem = Problem(train)
    maps = problem.start(CONFIG)
    graph = problem.graph(np.zeros(train.labels.shape))
    np.testing.assert_allclose(problem.predicted(maps, graph, CONFIG), train.labels, atol=1e-5)


def test_with_all_labels_and_no_weights_it_is_least_squares():
    train = labelled(40, 0, several=True)
    config = GSSSLConfig(sparsity=1e-9, smoothness=0, label_smoothness=0)
    found = Problem(train).solve(config)
    for kind, rows in (("image", train.images), ("text", train.texts)):
        least, *_ = np.linalg.lstsq(z_scored(rows), np.float64(train.labels))
        np.testing.assert_allclose(found[kind], least, atol=1e-4)


def fit(train, validation, **config):
    return gss_sl.fit(train, validation, GSSSLConfig(**config))


def test_validation_chooses_the_weights_and_pairs_are_scored_by_the_cosine(monkeypatch):
    monkeypatch.setattr(gss_sl, "WEIGHTS", (0.01, 10.0))
    train, validation = with_unlabelled(False), labelled(30, 7)
    fitted = fit(train, validation)
    assert len(fitted.tried) == 4
    assert max(fitted.tried.values()) > min(fitted.tried.values())
    alone = fit(train, validation, **fitted.chosen)
    assert list(alone.tried.values()) == [max(fitted.tried.values())]
    maps = Problem(train).solve(replace(GSSSLConfig(), **fitted.chosen))
    images, texts = z_scored(train.images) @ maps["image"], z_scored(train.texts) @ maps["text"]
    images, texts = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, texts))
    scorer = alone.scorer()
    found = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
    np.testing.assert_allclose(found, images @ texts.T, atol=1e-4)


def test_pairs_without_a_label_are_learned_from():
    train = with_unlabelled(False)
    alone = train.take(np.flatnonzero(train.labels.any(axis=1)))
    weights = {"sparsity": 1.0, "smoothness": 1.0}
    both = [fit(pairs, train, **weights).scorer() for pairs in (train, alone)]
    embedded = [scorer.embed_images(train.images) for scorer in both]
    assert np.abs(embedded[0] - embedded[1]).max() > 0.01


@pytest.mark.parametrize("what", odd_pairs())
def test_odd_pairs_give_finite_projections(what):
    config = GSSSLConfig(sparsity=1.0, smoothness=1.0)
    for directions in Problem(odd_pairs()[what]).solve(config).values():
        assert np.isfinite(directions).all()
