from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.training.tiny import make_pairs
from tfxmodal.data import load_dataset
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import evaluate_pairs
from tfxmodal.heads.linear import linear_projection
from tfxmodal.methods import METHODS
from tfxmodal.methods.closed_form import pls, standardised
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.pls import COMPONENTS, PLSConfig
from tfxmodal.methods.closed_form.selection import (
    Projections,
    best_on_validation,
    of_components,
)


def fit(train, validation, **config):
    return pls.fit(train, validation, PLSConfig(**config))


def without_labels(images, texts) -> Pairs:
    ids = np.arange(len(images)).astype(str)
    return Pairs(ids, images.astype(np.float32), texts.astype(np.float32))


def related(n: int, d_image: int, d_text: int, seed: int, rank=30, noise=0.05, fall=0.8) -> Pairs:
    """Pairs of `rank` common factors of falling strength, away from the origin."""
    rng = np.random.default_rng(seed)
    looks = np.random.default_rng(99)
    factors = rng.standard_normal((n, rank)) * fall ** np.arange(rank)
    views = [
        factors @ looks.standard_normal((rank, d)) + noise * rng.standard_normal((n, d)) + 3
        for d in (d_image, d_text)
    ]
    return without_labels(*views)


def oracle_scores(train: Pairs, test: Pairs, k: int) -> np.ndarray:
    """PLS as its definition says, dense and in float64."""
    x, y = np.float64(train.images), np.float64(train.texts)
    centred_x, centred_y = x - x.mean(0), y - y.mean(0)
    u, _, v = np.linalg.svd(centred_x.T @ centred_y / len(x), full_matrices=False)
    a = (test.images - x.mean(0)) @ u[:, :k]
    b = (test.texts - y.mean(0)) @ v[:k].T
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return a @ b.T


@pytest.mark.parametrize("d_image, d_text", [(12, 7), (40, 25), (130, 110)])
def test_scores_are_those_of_the_definition(d_image, d_text):
    train, validation, test = (related(n, d_image, d_text, n) for n in (150, 50, 20))
    scorer = fit(train, validation).scorer()
    images, texts = scorer.embed_images(test.images), scorer.embed_texts(test.texts)
    k = images.shape[1]
    assert k in (*COMPONENTS, d_text)
    np.testing.assert_allclose(
        scorer.score(images, texts), oracle_scores(train, test, k), atol=2e-5
    )


def test_directions_that_are_rounding_alone_are_left_out():
    """Of 30 pairs there are 29, whatever is asked for."""
    train, test = related(30, 130, 110, 0, noise=1), related(50, 130, 110, 1)
    fitted = fit(train, test, components=200)
    assert fitted.chosen == {"components": 29}
    scorer = fitted.scorer()
    found = scorer.score(scorer.embed_images(test.images), scorer.embed_texts(test.texts))
    np.testing.assert_allclose(found, oracle_scores(train, test, 29), atol=2e-5)


def test_a_flat_spectrum_is_as_exact_as_a_falling_one():
    rng = np.random.default_rng(0)
    train = without_labels(rng.normal(size=(400, 150)), rng.normal(size=(400, 120)))
    test = without_labels(rng.normal(size=(20, 150)), rng.normal(size=(20, 120)))
    scorer = fit(train, test, components=50).scorer()
    found = scorer.score(scorer.embed_images(test.images), scorer.embed_texts(test.texts))
    np.testing.assert_allclose(found, oracle_scores(train, test, 50), atol=2e-5)


@pytest.mark.parametrize("side", ["images", "texts"])
def test_one_row_that_differs_is_enough(side):
    pairs = related(3000, 8, 7, 0)
    same = replace(pairs, **{side: np.full_like(getattr(pairs, side), 0.1)})
    with pytest.raises(InputError, match=f"`{side}` must differ .* received .*all the same: give"):
        fit(same, pairs)
    getattr(same, side)[-1] += 1
    fit(same, pairs)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_moments_in_chunks(chunk, monkeypatch):
    monkeypatch.setattr(standardised, "CHUNK", chunk)
    pairs = make_pairs()
    found = moments(pairs.images, pairs.texts)
    images, texts = np.float64(pairs.images), np.float64(pairs.texts)
    np.testing.assert_allclose(found.image_mean, images.mean(0))
    np.testing.assert_allclose(found.text_mean, texts.mean(0))
    d, whole = images.shape[1], np.cov(images.T, texts.T, bias=True)
    np.testing.assert_allclose(found.between, whole[:d, d:], atol=1e-12)
    np.testing.assert_allclose(found.images, whole[:d, :d], atol=1e-12)
    np.testing.assert_allclose(found.texts, whole[d:, d:], atol=1e-12)
    assert moments(pairs.images, pairs.texts, within=False).images is None


@pytest.mark.parametrize("rank, chosen", [(5, 10), (40, 50)])
def test_validation_chooses_the_components(rank, chosen):
    """Few where the rest is noise, more where there is more in common."""
    train, validation = (related(n, 60, 50, n, rank, noise=2, fall=1) for n in (400, 80))
    fitted = fit(train, validation)
    assert fitted.scorer().embed_images(train.images).shape[1] == chosen
    assert fitted.chosen == {"components": chosen} and len(fitted.tried) > 1
    assert fit(train, validation, components=3).chosen == {"components": 3}


@pytest.mark.parametrize("k", [2, 3, 7])
def test_a_candidate_is_measured_as_its_networks_are(k):
    """By the first entries of the vectors of all directions, weighted."""
    train, validation = (related(n, 12, 7, n) for n in (100, 60))
    projections = Projections(
        *(
            (
                partial(linear_projection, np.mean(rows, axis=0)),
                np.random.default_rng(d).normal(size=(d, 7)),
            )
            for d, rows in ((12, train.images), (7, train.texts))
        )
    )
    weights = np.linspace(2, 0.5, 7)
    (_, candidate) = list(of_components(projections, [k], {}, weights))[0]
    assert candidate.measured(validation) == candidate.fitted().measured(validation)
    whole = projections.fitted(np.ones(7), {}).measured(validation)
    assert candidate.measured(validation) != whole


def test_the_first_of_equals_and_the_best_is_taken():
    pairs = make_pairs()
    bad, again = (fit(pairs, pairs, components=1) for _ in range(2))
    good = fit(pairs, pairs)
    assert best_on_validation([("a", bad), ("b", again)], pairs).networks is bad.networks
    chosen = best_on_validation([("a", bad), ("b", good)], pairs)
    assert chosen.networks is good.networks
    assert chosen.tried["a"] < chosen.tried["b"]


def fitted(name, dataset):
    spec = METHODS[name]
    return spec.fit(dataset.train, dataset.validation, spec.config())


def test_on_wikipedia(shared_data):
    """Linear PLS is known to reach .298 here, ridge CCA .297 where all dimensions weigh
    alike, and chance .12. CCA of other libraries reaches .329 / .299, and MCCA .336 / .307."""
    dataset = load_dataset("wikipedia", shared_data / "wikipedia")
    found = {
        name: evaluate_pairs(fitted(name, dataset).scorer(), dataset.test)["map_all"]
        for name in ("pls", "random", "ridge_cca", "cca", "mcca")
    }
    assert found["ridge_cca"]["average"] == pytest.approx(0.330, abs=0.004)
    assert found["pls"]["average"] == pytest.approx(0.298, abs=0.004)
    assert found["random"]["average"] == pytest.approx(0.12, abs=0.01)
    for name, reference in (("cca", (0.329, 0.299)), ("mcca", (0.336, 0.307))):
        both = [found[name][way] for way in ("image_to_text", "text_to_image")]
        np.testing.assert_allclose(both, reference, atol=0.008)


def test_chance_depends_on_its_seed_alone():
    pairs = make_pairs()
    fit = METHODS["random"].fit
    one, same, other = (fit(pairs, pairs, None, seed=s).scorer() for s in (0, 0, 1))
    images = one.embed_images(pairs.images)
    np.testing.assert_array_equal(images, same.embed_images(np.zeros((64, 2))))
    assert not np.array_equal(images, other.embed_images(pairs.images))
    assert not np.array_equal(images, one.embed_texts(pairs.texts))
