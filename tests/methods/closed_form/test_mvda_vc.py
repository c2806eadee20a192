from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import eigh

from tests.methods.closed_form import test_mvda
from tests.methods.closed_form.scores import scores
from tests.methods.closed_form.test_mvda import (
    CLASSES,
    block_vectors,
    of_classes,
    projected,
    ridge_matrix,
    scatters,
)
from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS
from tfxmodal.methods.closed_form import mvda_vc
from tfxmodal.methods.closed_form.mvda import class_views
from tfxmodal.methods.closed_form.mvda_vc import KAPPA, penalty


def fit(train, validation, **config):
    return test_mvda.fit(train, validation, **{"consistency": 1.0} | config)


def unit_rows(train):
    """The rows of each modality, centred and of total variance 1."""
    rows = [np.float64(each) for each in (train.images, train.texts)]
    rows = [each - each.mean(axis=0) for each in rows]
    return [each / np.sqrt(np.sum(each**2) / len(each)) for each in rows]


def weights_of_rows(z):
    """P = (X X^T + kappa I)^-1 X, by the n x n matrix: beta = P W."""
    gram = z @ z.T
    return np.linalg.solve(gram + KAPPA * np.trace(gram) * np.eye(len(z)), z)


def oracle_penalty(x, y):
    """M of sum_{j,r} |beta_j - beta_r|^2, the views over all pairs (j, r)."""
    apart = np.hstack([weights_of_rows(x), -weights_of_rows(y)])
    return 2 * apart.T @ apart


def found_penalty(train):
    x, y = unit_rows(train)
    return penalty(*class_views(train), x.T @ y)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
@pytest.mark.parametrize("n", [60, 12], ids=["many", "fewer rows than features"])
def test_scores_are_those_of_the_definition(several, n):
    train, test = of_classes(n, 1, several), of_classes(30, 2)
    z, shares = block_vectors(train.with_features(*unit_rows(train)))
    within, between = scatters(z, shares)
    matrix = oracle_penalty(*unit_rows(train))
    within = within + np.trace(within) / np.trace(matrix) * matrix
    w = eigh(between, within + ridge_matrix(z, 9, 0.1))[1][:, :-CLASSES:-1]
    x, y = (np.float64(each) for each in (train.images, train.texts))
    scale = [np.sqrt(each.var(axis=0).sum()) for each in (x, y)]
    w = w / np.repeat(scale, [9, 7])[:, None]
    np.testing.assert_allclose(scores(fit(train, test), test), projected(train, test, w), atol=1e-3)


def test_without_consistency_it_is_mvda():
    train, test = of_classes(60), of_classes(20, 2)
    plain = scores(test_mvda.fit(train, test), test)
    np.testing.assert_allclose(scores(fit(train, test, consistency=0), test), plain, atol=1e-6)
    assert np.abs(scores(fit(train, test, consistency=10), test) - plain).max() > 0.01


def test_the_penalty_by_small_matrices_is_that_by_rows():
    train = of_classes(60)
    found, expected = found_penalty(train), oracle_penalty(*unit_rows(train))
    np.testing.assert_allclose(found / np.trace(found), expected / np.trace(expected), atol=1e-9)
    within, _ = scatters(*block_vectors(train.with_features(*unit_rows(train))))
    assert np.trace(found) == pytest.approx(np.trace(within), rel=1e-5)
    assert np.linalg.eigvalsh(found).min() > -1e-9 * np.trace(found)


def test_equal_views_with_equal_directions_cost_nothing():
    train = of_classes(60)
    matrix = found_penalty(train.with_features(texts=train.images))
    w = np.random.default_rng(0).standard_normal((9, 3))
    same, other = np.vstack([w, w]), np.vstack([w, -w])
    assert np.trace(same.T @ matrix @ same) < 1e-8 * np.trace(other.T @ matrix @ other)


def test_pairs_without_a_class_teach_nothing_and_the_order_of_the_texts_counts():
    train, test = of_classes(60), of_classes(20, 2)
    hidden = train.labels.copy()
    hidden[40:] = 0
    expected = scores(fit(train.take(np.arange(40)), test), test)
    few = fit(replace(train, labels=hidden), test)
    np.testing.assert_allclose(scores(few, test), expected, atol=1e-4)
    alike = np.arange(40).reshape(10, 4)[::-1].ravel()  # Each text of another pair of the class.
    other = train.take(np.arange(40)).with_features(texts=train.texts[alike])
    assert np.abs(scores(fit(other, test), test) - expected).max() > 1e-3


def test_unpaired_sets_are_told():
    train = of_classes(40)
    alone = replace(train, texts=train.texts[:30], text_labels=train.labels[:30])
    with pytest.raises(InputError, match="mvda_vc learns from pairs"):
        METHODS["mvda_vc"].check(alone)


def test_validation_chooses(monkeypatch):
    monkeypatch.setattr(mvda_vc, "RIDGES", (1e-6, 1e-1))
    monkeypatch.setattr(mvda_vc, "CONSISTENCIES", (1e-3, 10.0))
    train, validation = of_classes(24), of_classes(60, 2)
    fitted = fit(train, validation, ridge=None, consistency=None)
    assert fitted.chosen["ridge"] in mvda_vc.RIDGES
    assert fitted.chosen["consistency"] in mvda_vc.CONSISTENCIES
    assert len(fitted.tried) == 4 and max(fitted.tried.values()) > min(fitted.tried.values())
