import numpy as np
import pytest

from tests.evaluation.test_metrics import loop_ranking
from tfxmodal.errors import InputError
from tfxmodal.evaluation import curves as per_query
from tfxmodal.evaluation import metrics
from tfxmodal.evaluation.class_metrics import class_metrics
from tfxmodal.evaluation.curves import RECALLS, mean_over_queries


def precision_recall(*problem, **options):
    """The curve of all queries."""
    x, values = per_query.precision_recall(*problem, **options)
    return x, mean_over_queries(values)


def precision_scope(*problem, **options):
    """The curve of all queries."""
    x, values = per_query.precision_scope(*problem, **options)
    return x, mean_over_queries(values)


@pytest.fixture
def problem(monkeypatch):
    """Scores with ties; the second query has no relevant item; several blocks."""
    monkeypatch.setattr(metrics, "BLOCK", 200)
    rng = np.random.default_rng(0)
    relevant = rng.random((30, 47)) < 0.2
    relevant[1] = False
    return (rng.standard_normal((30, 47)) + relevant).round(1), relevant


def loop_precision_recall(scores, relevant, level):
    values = []
    for ranking in (loop_ranking(s, r) for s, r in zip(scores, relevant, strict=True)):
        if any(ranking):
            hits = np.cumsum(ranking)
            points = [(h / hits[-1], h / (i + 1)) for i, h in enumerate(hits)]
            values.append(max(p for recall, p in points if recall >= level - 1e-9))
    return np.mean(values)


def test_precision_recall_equals_the_loop(problem):
    levels, precision = precision_recall(*problem)
    np.testing.assert_array_equal(levels, RECALLS)
    expected = [loop_precision_recall(*problem, level) for level in levels]
    np.testing.assert_allclose(precision, expected, atol=1e-12)
    assert np.all(np.diff(precision) <= 0)


def test_recall_levels_that_hits_reach_exactly():
    """Of ten relevant items, recall 0.3 takes three, though 0.1 * 3 * 10 is above 3 in floats."""
    scores = -np.arange(20.0)[None]
    relevant = np.array([[True] * 3 + [False] * 10 + [True] * 7])
    _, precision = precision_recall(scores, relevant, [0, 0.1 * 3, 0.31, 1])
    np.testing.assert_allclose(precision, [1, 1, 0.5, 0.5])


def test_precision_scope_equals_the_loop(problem):
    scores, relevant = problem
    scopes, precision = precision_scope(scores, relevant, [1, 10, 40, 50, 100])
    np.testing.assert_array_equal(scopes, [1, 10, 40, 47])
    rankings = [loop_ranking(s, r) for s, r in zip(scores, relevant, strict=True) if any(r)]
    expected = [np.mean([np.mean(r[:k]) for r in rankings]) for k in scopes]
    np.testing.assert_allclose(precision, expected, atol=1e-12)


def test_perfect_ranking_and_constant_scores():
    relevant = np.arange(10)[None] < 4
    _, precision = precision_recall(relevant.astype(float), relevant)
    np.testing.assert_array_equal(precision, 1)
    _, precision = precision_scope(relevant.astype(float), relevant, [2, 4, 8])
    np.testing.assert_array_equal(precision, [1, 1, 0.5])
    _, precision = precision_scope(np.zeros((1, 10)), relevant, [2, 4, 8])
    np.testing.assert_array_equal(precision, [0, 0, 2 / 8])


def test_one_relevant_item_ties_curve_and_average_precision(problem):
    scores, relevant = problem
    relevant = np.arange(47)[None] == np.arange(30)[:, None]
    _, precision = precision_recall(scores, relevant, [1.0])
    assert precision[0] == pytest.approx(class_metrics(scores, relevant)["map_all"].mean())


def test_no_query_has_a_relevant_item():
    scores, relevant = np.zeros((2, 3)), np.zeros((2, 3), bool)
    assert np.isnan(precision_recall(scores, relevant)[1]).all()
    assert np.isnan(precision_scope(scores, relevant)[1]).all()


def test_bad_input(problem):
    with pytest.raises(InputError, match=r"levels in 0\.\.1; received \[0, 2\]"):
        precision_recall(*problem, recalls=[0, 2])
    with pytest.raises(InputError, match=r"from 1; received \[0, 5\]"):
        precision_scope(*problem, scopes=[0, 5])
    with pytest.raises(InputError, match="must not be NaN"):
        precision_scope(np.full((1, 2), np.nan), np.ones((1, 2), bool))
