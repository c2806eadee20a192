import io

import numpy as np
import pytest

from tests.evaluation.test_protocol import Bilinear
from tests.training.tiny import make_pairs
from tfxmodal.evaluation.per_query import DIRECTIONS, PerQuery
from tfxmodal.evaluation.protocol import Side, evaluate, measure_queries, selection_score


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
    assert shares.shape == (2, 20)
    assert shares.sum(axis=1).mean() == pytest.approx(selection_score(found.summary()))
    if labels:
        assert (shares[:, :3] == 0).all()
        reached = found.summary()["map_all"]
        np.testing.assert_allclose(shares.sum(axis=1), [reached[way] for way in DIRECTIONS])


def test_labels_that_no_pair_has_are_none():
    pairs, unlabelled = embedded(), embedded(labels=False)
    pairs.labels[:] = 0
    found, expected = (measure_queries(Bilinear(), each) for each in (pairs, unlabelled))
    assert not found.labelled
    np.testing.assert_array_equal(found.by_pair(), expected.by_pair())


def test_they_are_saved_and_opened():
    pairs = embedded()
    found, file = measure_queries(Bilinear(), pairs, captions(pairs)), io.BytesIO()
    found.save(file)
    file.seek(0)
    again = PerQuery.open(file)
    assert again.summary() == found.summary() == evaluate(Bilinear(), pairs, captions(pairs))
    np.testing.assert_array_equal(again.by_pair(), found.by_pair())
