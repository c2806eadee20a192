"""Platt's map against Newton's method by NumPy, and what a probability means."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.tiny import make_pairs
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation import calibration
from tfxmodal.evaluation.calibration import Calibration, calibrate, fit
from tfxmodal.evaluation.results import evaluate_split
from tfxmodal.retrieval.cosine import GivenVectors


def by_newton(scores, right) -> tuple[float, float]:
    """Slope and intercept of the likeliest logistic map to Platt's targets."""
    positive, negative = right.sum(), (~right).sum()
    targets = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    rows, line = np.stack([scores, np.ones(len(scores))], axis=1), np.zeros(2)
    for _ in range(100):
        probability = 1 / (1 + np.exp(-rows @ line))
        curvature = rows.T @ (rows * (probability * (1 - probability))[:, None])
        line = line + np.linalg.solve(curvature, rows.T @ (targets - probability))
    return tuple(line)


def drawn(n=4000, slope=6.0, intercept=-3.0, seed=0):
    """Scores, and whether a pair is right, with the probability of that map."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.1, 0.4, n)
    return scores, rng.random(n) < 1 / (1 + np.exp(-(slope * scores + intercept)))


def test_it_is_the_likeliest_map():
    scores, right = drawn()
    found = fit(scores, right)
    np.testing.assert_allclose((found.slope, found.intercept), by_newton(scores, right), rtol=1e-4)
    np.testing.assert_allclose((found.slope, found.intercept), (6, -3), rtol=0.15)
    assert (found.base_rate, found.pairs) == (right.mean(), 4000)
    # Of the likeliest map the mean probability is the base rate, but for Platt's targets.
    assert found.probability(scores).mean() == pytest.approx(right.mean(), abs=1e-3)


def test_scores_that_part_the_pairs_leave_it_finite():
    scores = np.arange(20.0)
    found = fit(scores, scores >= 10)
    np.testing.assert_allclose(
        (found.slope, found.intercept), by_newton(scores, scores >= 10), rtol=1e-3
    )


def test_a_score_is_the_least_of_its_probability():
    found = Calibration(4.0, -1.0, 0.1, 100)
    for probability in (1e-6, 0.5, 0.999):
        assert found.probability(found.score(probability)) == pytest.approx(probability)
    for wrong in (0, 1, -1, 2, np.nan):
        with pytest.raises(InputError, match="`min_probability` must be above 0 and below 1"):
            found.score(wrong)


def test_scores_that_say_nothing_leave_the_base_rate():
    scores, right = drawn(slope=-6.0)
    found = fit(scores, right)
    np.testing.assert_allclose(found.probability(scores), right.mean())
    assert (found.score(right.mean() - 1e-6), found.score(0.999)) == (-np.inf, np.inf)
    assert fit(scores, np.zeros(4000, bool)) is None and fit(scores, right | True) is None


@pytest.mark.parametrize("labelled", [True, False])
def test_right_is_what_the_metrics_count_as_right(labelled, monkeypatch):
    pairs = make_pairs(40)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2, 40, 5)).astype(np.float32)
    labels = pairs.labels.copy()
    labels[:5] = 0  # without a label: neither right nor wrong
    pairs = replace(pairs, images=vectors[0], texts=vectors[1], labels=labels if labelled else None)
    results = evaluate_split(GivenVectors(), pairs, pairs)
    scores = vectors[0] @ vectors[1].T
    right = labels @ labels.T > 0 if labelled else np.eye(40, dtype=bool)
    kept = labels.any(axis=1) if labelled else np.ones(40, bool)
    expected = fit(scores[np.ix_(kept, kept)].ravel(), right[np.ix_(kept, kept)].ravel())
    assert calibrate(results) == expected
    monkeypatch.setattr(calibration, "PAIRS", 500)
    n = kept.sum()
    step = -(-n * n // 500)
    assert calibrate(results).pairs == n * len(range(0, n, step)) <= 500


@pytest.mark.parametrize("labelled", [True, False])
def test_an_image_counts_once_however_many_captions_it_has(labelled):
    """Fifty images have one caption each, fifty have nine, and each caption is a row."""
    rng = np.random.default_rng(0)
    of_row = rng.permutation(np.repeat(np.arange(100), [1, 9] * 50))
    vectors = rng.standard_normal((100, 5), np.float32)
    texts = vectors[of_row] + rng.standard_normal((500, 5), np.float32)
    labels = np.eye(10, dtype=np.uint8)[rng.integers(0, 10, 100)]
    labels[:5] = 0
    of_rows = labels[of_row] if labelled else None
    pairs = Pairs(np.arange(500), vectors[of_row], texts, of_rows, image_ids=of_row)
    found = calibrate(evaluate_split(GivenVectors(), pairs, pairs))
    right = labels @ labels.T > 0 if labelled else np.eye(100, dtype=bool)
    kept = labels.any(axis=1) if labelled else np.ones(100, bool)
    cells = np.ix_(kept, kept[of_row])
    expected = fit((vectors @ texts.T)[cells].ravel(), right[:, of_row][cells].ravel())
    assert (found.pairs, found.base_rate) == (expected.pairs, expected.base_rate)
    assert labelled or found.base_rate == 0.01
    np.testing.assert_allclose(
        (found.slope, found.intercept), (expected.slope, expected.intercept), rtol=1e-4
    )
