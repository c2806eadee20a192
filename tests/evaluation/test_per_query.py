import io
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.test_protocol import Bilinear
from tests.training.tiny import make_pairs
from tfxmodal.evaluation.per_query import DIRECTIONS, PerQuery
from tfxmodal.evaluation.protocol import Side, evaluate, measure_queries, selection_score
from tfxmodal.evaluation.significance import bootstrap_means


def embedded(labels=True):
    pairs = make_pairs(20)
    if not labels:
        object.__setattr__(pairs, "labels", None)
    else:
        pairs.labels[:3] = 0  # Nothing is relevant to them.
    return pairs.with_features(pairs.images[:, :4], pairs.texts[:, :4])


def captions(pairs) -> Side:
    """Two captions a pair."""
    rows = np.repeat(np.arange(20), 2)
    noise = np.random.default_rng(0).normal(size=(40, pairs.texts.shape[1]))
    return Side((pairs.texts[rows] + noise).astype(np.float32), rows)


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_what_pairs_add_is_the_number_that_selects(labels, several):
    pairs = embedded(labels)
    found = measure_queries(Bilinear(), pairs, captions(pairs) if several else None)
    shares = found.by_pair()
    # The first three have no relevant item: no mean has them, nor an interval.
    assert shares.shape == (2, 17 if labels else 20)
    assert shares.sum(axis=1).mean() == pytest.approx(selection_score(found.summary()))
    if labels:
        reached = found.summary()["map_all"]
        np.testing.assert_allclose(shares.sum(axis=1), [reached[way] for way in DIRECTIONS])


def test_labels_that_no_pair_has_are_none():
    pairs, unlabelled = embedded(), embedded(labels=False)
    pairs.labels[:] = 0
    found, expected = (measure_queries(Bilinear(), each) for each in (pairs, unlabelled))
    assert not found.labelled
    np.testing.assert_array_equal(found.by_pair(), expected.by_pair())


@pytest.mark.parametrize("repeated", [2, 5])
def test_an_interval_does_not_widen_where_rows_repeat_images(repeated):
    """Rows of a repeated image are no pairs of their own: only its first row owns queries."""

    def shares(times: int, seed: int) -> np.ndarray:
        ranks = np.random.default_rng(seed).integers(1, 20, 50).astype(float)
        rows = times * np.arange(50)
        ways = {
            "image_to_text": {"rank": ranks, "rank_pair": rows},
            "text_to_image": {
                "rank": np.repeat(ranks, times),
                "rank_pair": np.repeat(rows, times),
            },
        }
        return PerQuery(ways, dict.fromkeys(DIRECTIONS, 50)).by_pair().mean(axis=0)

    def interval(times: int) -> np.ndarray:
        drawn = bootstrap_means([shares(times, seed)[None] for seed in (0, 1)])
        return np.percentile(drawn[:, 0] - drawn[:, 1], [2.5, 97.5])

    np.testing.assert_allclose(interval(repeated), interval(1))


def test_where_no_query_has_a_relevant_item_a_pair_adds_nothing():
    pairs = embedded()
    pairs.labels[:] = 0  # Nor has a query its own partner in the database.
    shares = measure_queries(Bilinear(), replace(pairs, queries=np.arange(20) < 5)).by_pair()
    np.testing.assert_array_equal(bootstrap_means([shares]), 0)


def test_they_are_saved_and_opened():
    pairs = embedded()
    found, file = measure_queries(Bilinear(), pairs, captions(pairs)), io.BytesIO()
    found.save(file)
    file.seek(0)
    again = PerQuery.open(file)
    assert again.summary() == found.summary() == evaluate(Bilinear(), pairs, captions(pairs))
    np.testing.assert_array_equal(again.by_pair(), found.by_pair())
