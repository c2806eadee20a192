import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import ndcg_score

from tests.evaluation.test_metrics import loop_average_precision, loop_ranking, ranking_problems
from tfxmodal.evaluation import metrics
from tfxmodal.evaluation.class_metrics import CLASS_METRICS, class_metrics


def loop_metrics(scores, relevant) -> dict:
    """The equations, read off a ranking by Python's sort."""
    rel = [float(hit) for hit in loop_ranking(scores, relevant)]
    R = int(sum(rel))
    if not R:
        return dict.fromkeys(CLASS_METRICS, np.nan)
    P = [sum(rel[:i]) / i for i in range(1, len(rel) + 1)]
    discounts = [1 / np.log2(1 + i) for i in range(1, len(rel) + 1)]
    return {
        "map_all": loop_average_precision(scores, relevant),
        "map_50": loop_average_precision(scores, relevant, 50),
        "map_r": sum(P[i] * rel[i] for i in range(R)) / R,
        "r_precision": sum(rel[:R]) / R,
        "ndcg": np.dot(rel, discounts) / sum(discounts[:R]),
    }


@given(ranking_problems())
def test_equals_the_loop_with_ties_infinities_and_empty_queries(case):
    found = class_metrics(*case)
    assert tuple(found) == CLASS_METRICS
    expected = [loop_metrics(*row) for row in zip(*case, strict=True)]
    for name, values in found.items():
        np.testing.assert_allclose(values, [each[name] for each in expected], atol=1e-12)
        assert np.all((0 <= values[~np.isnan(values)]) & (values[~np.isnan(values)] <= 1 + 1e-12))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_loop_beyond_the_first_50(dtype, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 500)  # Several blocks, the last one partial.
    rng = np.random.default_rng(0)
    scores, relevant = rng.normal(size=(20, 120)).astype(dtype), rng.random((20, 120)) < 0.02
    expected = [loop_metrics(*row) for row in zip(scores, relevant, strict=True)]
    assert any(each["map_50"] == 0 for each in expected)
    for name, values in class_metrics(scores, relevant).items():
        np.testing.assert_allclose(values, [each[name] for each in expected], atol=1e-12)


def test_ndcg_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    scores, relevant = rng.normal(size=(9, 30)), rng.random((9, 30)) < 0.3
    each = [ndcg_score([r], [s]) for r, s in zip(relevant.astype(int), scores, strict=True)]
    np.testing.assert_allclose(class_metrics(scores, relevant)["ndcg"], each, atol=1e-12)


def test_a_perfect_ranking_has_1_of_all():
    relevant = np.arange(80)[None] < 60
    found = class_metrics(-np.arange(80.0)[None], relevant)
    assert {name: values.item() for name, values in found.items()} == pytest.approx(
        dict.fromkeys(CLASS_METRICS, 1.0)
    )
