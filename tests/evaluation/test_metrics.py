import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxmodal.errors import InputError
from tfxmodal.evaluation import metrics
from tfxmodal.evaluation.class_metrics import class_metrics
from tfxmodal.evaluation.metrics import (
    mean,
    median_rank,
    ranks,
    recall_at,
    relevance,
    ties,
)


def loop_ranking(scores, relevant):
    """Relevance in ranked order, by Python's sort: best first, relevant last among equals."""
    pairs = zip(scores, relevant, strict=True)
    return [r for _, r in sorted(pairs, key=lambda pair: (-float(pair[0]), bool(pair[1])))]


def loop_average_precision(scores, relevant, k=None):
    if not any(relevant):
        return np.nan
    found, total = 0, 0.0
    for rank, hit in enumerate(loop_ranking(scores, relevant)[:k], start=1):
        if hit:
            found += 1
            total += found / rank
    return total / found if found else 0.0


def loop_rank(scores, relevant):
    if not any(relevant):
        return np.nan
    return 1 + loop_ranking(scores, relevant).index(True)


def problem(rng, queries=40, gallery=70, classes=5, dtype=np.float32):
    query_labels = rng.random((queries, classes)) < 0.3
    gallery_labels = rng.random((gallery, classes)) < 0.3
    scores = rng.standard_normal((queries, gallery)) + query_labels @ gallery_labels.T * 0.5
    return scores.astype(dtype), query_labels.astype(np.uint8), gallery_labels.astype(np.uint8)


@st.composite
def ranking_problems(draw):
    """Small problems with many ties, negative scores, both zeros and infinities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    pool = np.array([-np.inf, -3, -1e-30, -0.0, 0.0, 1e-30, 0.5, 2, np.inf])
    scores = rng.choice(pool, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    return scores, rng.random(shape) < draw(st.floats(0, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_loop(dtype, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 500)  # several blocks, the last one partial
    scores, query_labels, gallery_labels = problem(np.random.default_rng(0), dtype=dtype)
    relevant = query_labels.astype(int) @ gallery_labels.T > 0
    np.testing.assert_array_equal(relevance(query_labels, gallery_labels), relevant)
    np.testing.assert_array_equal(
        ranks(scores, relevant), [loop_rank(s, r) for s, r in zip(scores, relevant, strict=True)]
    )


@given(ranking_problems())
def test_equals_the_loop_with_ties_and_infinities(case):
    pairs = list(zip(*case, strict=True))
    np.testing.assert_array_equal(ranks(*case), [loop_rank(s, r) for s, r in pairs])
    equal = [np.count_nonzero(s[~r] == s[r].max()) if any(r) else 0 for s, r in pairs]
    np.testing.assert_array_equal(ties(*case), equal)


def all_of(scores, relevant) -> np.ndarray:
    """Every metric of each query, `[metrics, q]`."""
    return np.stack([*class_metrics(scores, relevant).values(), ranks(scores, relevant)])


@given(ranking_problems(), st.randoms(use_true_random=False))
def test_gallery_order_does_not_matter(case, random):
    scores, relevant = case
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    found = all_of(scores[:, order], relevant[:, order])
    np.testing.assert_allclose(found, all_of(scores, relevant), atol=1e-12)


@given(ranking_problems())
def test_only_the_order_of_scores_matters(case):
    scores, relevant = case
    transformed = np.arctan(scores) * 7 - 100 if scores.dtype == np.float64 else scores * 4
    ties_kept = [
        len(np.unique(a)) == len(np.unique(b)) for a, b in zip(scores, transformed, strict=True)
    ]
    scores, transformed, relevant = (x[ties_kept] for x in (scores, transformed, relevant))
    if len(scores):
        np.testing.assert_array_equal(all_of(transformed, relevant), all_of(scores, relevant))


@given(ranking_problems())
def test_one_relevant_item_gives_the_reciprocal_rank(case):
    scores, relevant = case
    relevant = np.zeros_like(relevant)
    relevant[:, -1] = True
    found = class_metrics(scores, relevant)["map_all"]
    np.testing.assert_allclose(found, 1 / ranks(scores, relevant), rtol=1e-12)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 20))
def test_perfect_and_worst_rankings(good, bad):
    relevant = np.arange(good + bad)[None] < good
    scores = -np.arange(good + bad, dtype=np.float32)[None]
    np.testing.assert_allclose(all_of(scores, relevant), 1)
    worst = np.mean([(i + 1) / (bad + i + 1) for i in range(good)])
    assert class_metrics(-scores, relevant)["map_all"] == pytest.approx(worst)
    assert ranks(-scores, relevant) == bad + 1


def test_constant_scorer_earns_nothing():
    relevant = np.zeros((2, 60), bool)
    relevant[0, 0] = relevant[1, 1:3] = True
    constant = np.full((2, 60), 0.25, np.float32)
    found = class_metrics(constant, relevant)
    np.testing.assert_allclose(found["map_all"], [1 / 60, (1 / 59 + 2 / 60) / 2])
    np.testing.assert_array_equal(found["map_50"], [0, 0])
    np.testing.assert_array_equal(ranks(constant, relevant), [60, 59])


def test_zero_signs_tie():
    scores = np.array([[0.0, -0.0], [-0.0, 0.0]], np.float32)
    relevant = np.array([[True, False], [True, False]])
    np.testing.assert_array_equal(ranks(scores, relevant), [2, 2])
    np.testing.assert_array_equal(class_metrics(scores, relevant)["map_all"], [0.5, 0.5])


def test_close_float64_scores_are_told_apart():
    scores = 1 + 1e-12 * np.arange(6.0)[None]
    relevant = np.array([[False, False, True, False, False, False]])
    assert class_metrics(scores, relevant)["map_all"] == pytest.approx(1 / 4)


def test_negative_scores_count_like_any_other():
    """Adding a constant changes nothing (torchmetrics drops hits with scores below zero)."""
    scores, query_labels, gallery_labels = problem(np.random.default_rng(1))
    scores, relevant = np.tanh(scores), relevance(query_labels, gallery_labels)
    np.testing.assert_allclose(
        all_of(scores, relevant), all_of(scores.astype(float) + 1.001, relevant)
    )


def test_whole_ranking_divides_by_all_relevant_items():
    """Low-ranked hits count too, and the depth is the gallery, not the number of queries."""
    scores = np.array([[5.0, 4, 3, 2, 1]], np.float32)
    relevant = np.array([[True, False, False, False, True]])
    assert class_metrics(scores, relevant)["map_all"] == pytest.approx((1 + 2 / 5) / 2)


def test_cut_ranking_divides_by_the_items_found():
    scores, relevant = -np.arange(60.0)[None], np.zeros((1, 60), bool)
    relevant[0, 50] = True
    assert class_metrics(scores, relevant)["map_50"] == 0
    relevant[0, 1] = True
    assert class_metrics(scores, relevant)["map_50"] == pytest.approx(1 / 2)


def test_queries_without_relevant_items_are_left_out():
    scores = np.array([[2.0, 1.0], [2.0, 1.0]], np.float32)
    relevant = np.array([[False, True], [False, False]])
    for values in all_of(scores, relevant):
        np.testing.assert_array_equal(np.isnan(values), [False, True])
    assert mean(class_metrics(scores, relevant)["map_all"]) == 0.5
    found = ranks(scores, relevant)
    assert recall_at(found, (1, 2)) == {1: 0.0, 2: 1.0}
    assert median_rank(found) == 2
    assert np.isnan(mean(found[1:])) and np.isnan(median_rank(found[1:]))


def test_several_captions_an_image():
    """R@K asks for any right caption in the top K, not for the share of them that is there."""
    image_of_caption = np.array([0, 0, 0, 1, 1])
    scores = np.array([[0.9, 0.1, 0.0, 0.8, 0.2], [0.5, 0.6, 0.7, 0.1, 0.65]], np.float32)
    to_text = ranks(scores, np.equal.outer(np.arange(2), image_of_caption))
    np.testing.assert_array_equal(to_text, [1, 2])
    assert recall_at(to_text) == {1: 0.5, 5: 1.0, 10: 1.0}
    to_image = ranks(scores.T, np.equal.outer(image_of_caption, np.arange(2)))
    np.testing.assert_array_equal(to_image, [1, 2, 2, 2, 1])
    assert median_rank(to_image) == 2


def test_folds_are_slices_of_the_scores():
    """COCO "1K" is the mean of R@K over fifths of the images, each with its own captions."""
    rng = np.random.default_rng(2)
    image_of_caption = np.repeat(np.arange(20), 5)
    scores = rng.standard_normal((20, 100), dtype=np.float32)
    for fold in range(5):
        images, captions = slice(4 * fold, 4 * fold + 4), slice(20 * fold, 20 * fold + 20)
        relevant = np.equal.outer(np.arange(20)[images], image_of_caption[captions])
        part = scores[images, captions]
        expected = [loop_rank(s, r) for s, r in zip(part, relevant, strict=True)]
        np.testing.assert_array_equal(ranks(part, relevant), expected)


@pytest.mark.parametrize("metric", [class_metrics, ranks])
class TestBadInput:
    def test_nan(self, metric):
        scores = np.array([[1.0, 2.0], [np.nan, 0.0]], np.float32)
        with pytest.raises(InputError, match="Scores must not be NaN; .* queries 0 to 1"):
            metric(scores, np.ones((2, 2), bool))

    def test_shapes(self, metric):
        with pytest.raises(InputError, match=r"both be .*\(2, 3\) and \(2, 2\)"):
            metric(np.zeros((2, 3)), np.ones((2, 2), bool))

    def test_empty(self, metric):
        with pytest.raises(InputError, match="not empty"):
            metric(np.zeros((2, 0)), np.ones((2, 0), bool))

    def test_relevance_that_is_not_boolean(self, metric):
        with pytest.raises(InputError, match="Relevance must be boolean; received float64"):
            metric(np.zeros((2, 2)), np.ones((2, 2)))


def test_labels_over_other_classes():
    with pytest.raises(InputError, match=r"received shapes \(3, 4\) and \(2, 5\)"):
        relevance(np.zeros((3, 4)), np.zeros((2, 5)))
