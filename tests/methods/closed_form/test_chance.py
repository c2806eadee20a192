import numpy as np

from tests.training.tiny import make_pairs
from tfxmodal.evaluation.class_metrics import class_metrics
from tfxmodal.evaluation.metrics import relevance
from tfxmodal.methods.closed_form import chance


def scores(fitted, pairs):
    scorer = fitted.scorer()
    return scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))


def test_scores_come_from_the_seed_alone():
    pairs, other = make_pairs(seed=1), make_pairs(seed=2)
    of_seed = scores(chance.fit(pairs, pairs, chance.ChanceConfig(), seed=3), pairs)
    np.testing.assert_array_equal(of_seed, scores(chance.Chance(3), other))
    assert (of_seed != scores(chance.Chance(4), pairs)).mean() > 0.9


def test_precision_is_the_share_of_relevant_pairs():
    pairs = make_pairs(400)
    relevant = relevance(pairs.labels, pairs.labels)
    found = class_metrics(scores(chance.Chance(0), pairs), relevant)["map_all"]
    assert abs(found.mean() - relevant.mean()) < 0.02


def test_a_run_reopens_to_the_same_scores():
    pairs, fitted = make_pairs(), chance.Chance(5)
    reopened = chance.SPEC.reopen({}, fitted.chosen)
    np.testing.assert_array_equal(scores(fitted, pairs), scores(reopened, pairs))
