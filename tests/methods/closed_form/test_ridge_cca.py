import numpy as np
import pytest
from scipy.linalg import eigh

from tests.methods.closed_form.scores import cosines, directions, scores
from tests.methods.closed_form.test_pls import related, without_labels
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.methods.closed_form import cca, mcca, pls, ridge_cca, standardised
from tfxmodal.methods.closed_form.canonical import independent_pairs, views_of, with_ridge
from tfxmodal.methods.closed_form.ridge_cca import (
    COMPONENTS,
    RIDGES,
    WEIGHTINGS,
    RidgeCCAConfig,
)


def fit(train: Pairs, validation: Pairs, **config):
    return ridge_cca.fit(train, validation, RidgeCCAConfig(**{"weighting": 0.0} | config))


def covariances(train: Pairs, ridge: float):
    """C_xx + r_x I, C_yy + r_y I and C_xy, in float64."""
    x, y = (
        np.float64(rows) - np.mean(np.float64(rows), axis=0) for rows in (train.images, train.texts)
    )
    of_x, of_y = x.T @ x / len(x), y.T @ y / len(y)
    with_ridge = [c + ridge * np.trace(c) / len(c) * np.eye(len(c)) for c in (of_x, of_y)]
    return *with_ridge, x.T @ y / len(x)


def oracle_scores(train: Pairs, test: Pairs, ridge: float, k: int) -> np.ndarray:
    """CCA as the generalised eigenproblem C_xy C_yy^-1 C_yx a = rho^2 C_xx a."""
    c_xx, c_yy, c_xy = covariances(train, ridge)
    squares, a = eigh(c_xy @ np.linalg.solve(c_yy, c_xy.T), c_xx)
    squares, a = squares[::-1][:k], a[:, ::-1][:, :k]
    b = np.linalg.solve(c_yy, c_xy.T @ a) / np.sqrt(squares)
    u, v = (
        (test.images - np.mean(np.float64(train.images), 0)) @ a,
        (test.texts - np.mean(np.float64(train.texts), 0)) @ b,
    )
    return cosines(u, v)


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("d_image, d_text", [(12, 7), (7, 12), (40, 25)])
def test_scores_are_those_of_the_definition(d_image, d_text, ridge):
    train, test = (related(n, d_image, d_text, n) for n in (200, 30))
    k = 5
    found = scores(fit(train, test, ridge=ridge, components=k), test)
    np.testing.assert_allclose(found, oracle_scores(train, test, ridge, k), atol=1e-4)


@pytest.mark.parametrize("ridge", [1e-2, 1.0])
def test_directions_satisfy_the_constraints(ridge):
    """A^T (C_xx + r I) A = I, and A^T C_xy B is diagonal and falls."""
    train = related(300, 20, 15, 0)
    fitted = fit(train, train, ridge=ridge, components=8)
    a, b = directions(fitted, "image"), directions(fitted, "text")
    c_xx, c_yy, c_xy = covariances(train, ridge)
    np.testing.assert_allclose(a.T @ c_xx @ a, np.eye(8), atol=1e-4)
    np.testing.assert_allclose(b.T @ c_yy @ b, np.eye(8), atol=1e-4)
    rho = np.diag(a.T @ c_xy @ b)
    np.testing.assert_allclose(a.T @ c_xy @ b, np.diag(rho), atol=1e-4)
    assert (np.diff(rho) <= 1e-6).all() and rho.max() <= 1


def test_texts_that_are_a_map_of_the_images_are_found_without_a_ridge():
    """Y = X Q gives a correlation of 1 in every direction, whatever Q is."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((100, 6))
    pairs = without_labels(images, images @ rng.standard_normal((6, 6)) + 2)
    scorer = fit(pairs, pairs, ridge=0, components=6).scorer()
    own = scorer.score_pairs(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))
    np.testing.assert_allclose(own, 1, atol=1e-3)


def test_each_dimension_is_weighted_by_a_power_of_its_correlation():
    train = related(300, 20, 15, 0)
    plain, weighted = (fit(train, train, ridge=0.1, components=8, weighting=p) for p in (0, 2))
    c_xx, c_yy, c_xy = covariances(train, 0.1)
    a, b = directions(plain, "image"), directions(plain, "text")
    rho = np.diag(a.T @ c_xy @ b)
    np.testing.assert_allclose(directions(weighted, "image"), a * rho**2, atol=1e-4)
    np.testing.assert_allclose(directions(weighted, "text"), b * rho**2, atol=1e-4)


def test_a_large_ridge_gives_pls():
    """(C + r I)^-1/2 becomes a constant, and what is left is the SVD of C_xy."""
    train, test = (related(n, 30, 20, n) for n in (200, 40))
    both = fit(train, test, ridge=1e6, components=4), pls.fit(train, test, pls.PLSConfig(4))
    np.testing.assert_allclose(*(scores(fitted, test) for fitted in both), atol=1e-3)


def test_fewer_pairs_than_features():
    train, test = (related(n, 60, 50, n) for n in (30, 20))
    found = scores(fit(train, test, ridge=0.1, components=5), test)
    np.testing.assert_allclose(found, oracle_scores(train, test, 0.1, 5), atol=1e-4)


@pytest.mark.parametrize(("method", "name"), [(ridge_cca, "ridge"), (mcca, "shrinkage")])
def test_without_regularisation_correlations_that_say_nothing_are_refused(method, name):
    """Of unrelated features, too, some are 1 where there are fewer pairs than features."""
    rng, config = np.random.default_rng(0), method.SPEC.config
    pairs = without_labels(rng.standard_normal((41, 25)), rng.standard_normal((41, 15)))
    pairs.texts[:, 0] = 7  # A constant column is no dimension.
    enough, few = pairs.take(np.arange(40)), pairs.take(np.arange(39))
    rho = [views_of(each).directions(with_ridge(0), 1)[1][0] for each in (enough, few)]
    assert rho[0] < 1 - 1e-6 and rho[1] == pytest.approx(1, abs=1e-7)
    for fit_to in (enough, enough.take(np.repeat(np.arange(40), 2))):
        method.fit(fit_to, pairs, config(**{name: 0}))
    with pytest.raises(
        InputError,
        match=f"`{name}` 0 needs 40 training pairs.* in 25 dimensions .* in 14; received 39: raise",
    ):
        method.fit(few, pairs, config(**{name: 0}))


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [(cca, "rank", 39), (mcca, "shrinkage", 0), (ridge_cca, "ridge", 0)],
)
def test_repeated_pairs_do_not_make_correlations_say_something(method, name, value):
    rng = np.random.default_rng(0)
    pairs = without_labels(rng.standard_normal((40, 60)), rng.standard_normal((40, 50)))
    twice = pairs.take(np.repeat(np.arange(40), 2))
    with pytest.raises(
        InputError, match=f"`{name}` {value} needs 79 training pairs without.*; received 40: "
    ):
        method.fit(twice, pairs, method.SPEC.config(**{name: value}))


@pytest.mark.parametrize("n", [5, 20, 90])
def test_independent_pairs_are_those_that_add_a_dimension(n, monkeypatch):
    """Each of 20 images and 15 texts may be in several pairs."""
    monkeypatch.setattr(standardised, "CHUNK", 7)
    rng = np.random.default_rng(n)
    images, texts = (
        rng.standard_normal((size, 60))[rng.integers(size, size=n)] for size in (20, 15)
    )
    joined = np.hstack([images, texts])
    rank = np.linalg.matrix_rank(joined - joined.mean(axis=0))
    assert independent_pairs(without_labels(images, texts)) == rank + 1


def test_validation_chooses_ridge_and_components():
    train, validation = (related(n, 60, 50, n, noise=2) for n in (120, 60))
    fitted = fit(train, validation, weighting=None)
    assert fitted.chosen["weighting"] in WEIGHTINGS and len(fitted.tried) == 7 * 4 * 3
    assert fitted.chosen["ridge"] in RIDGES and fitted.chosen["components"] in (*COMPONENTS, 50)
    assert max(fitted.tried.values()) > min(fitted.tried.values())
    alone = fit(train, validation, **fitted.chosen)
    assert list(alone.tried.values()) == [max(fitted.tried.values())]


def test_features_of_large_means_lose_nothing():
    train, test = (related(n, 12, 7, n) for n in (200, 30))
    far = [pairs.with_features(pairs.images + 1e4, pairs.texts - 1e4) for pairs in (train, test)]
    near = scores(fit(train, test, ridge=0.1, components=4), test)
    found = scores(fit(*far, ridge=0.1, components=4), far[1])
    np.testing.assert_allclose(found, near, atol=0.02)
