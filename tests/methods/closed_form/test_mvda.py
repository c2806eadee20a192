from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from tests.methods.closed_form.scores import cosines, scores
from tests.training.tiny import make_pairs
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.methods.closed_form import mvda, mvda_vc
from tfxmodal.methods.closed_form.mvda import class_views, discriminants

CLASSES = 4


both = pytest.mark.parametrize("kind", [{}, {"consistency": 1.0}], ids=["mvda", "mvda_vc"])


def fit(train, validation, **config):
    """MvDA, or MvDA-VC with a `consistency`."""
    method = mvda_vc if "consistency" in config else mvda
    return method.fit(train, validation, method.SPEC.config(**{"ridge": 0.1} | config))


def of_classes(n: int, seed: int = 0, several: bool = False, d_image: int = 9, d_text: int = 7):
    """Pairs of four classes that both modalities show under noise, each in its own scale."""
    rng, look = np.random.default_rng(seed), np.random.default_rng(99)
    labels = np.eye(CLASSES, dtype=np.uint8)[np.arange(n) % CLASSES]
    if several:
        labels |= rng.random((n, CLASSES)) < 0.3
    images, texts = (
        scale * (labels @ look.standard_normal((CLASSES, d)) + rng.standard_normal((n, d))) + 3
        for scale, d in ((5, d_image), (1, d_text))
    )
    return Pairs(np.arange(n).astype(str), np.float32(images), np.float32(texts), labels)


def scatters(z, shares):
    """S_w and S_b of rows, each counted in a class as far as it belongs there."""
    within = between = 0
    mean = np.average(z, axis=0, weights=shares.sum(axis=1))
    for share in shares.T:
        mu = np.average(z, axis=0, weights=share)
        within += (z - mu).T @ (share[:, None] * (z - mu))
        between += share.sum() * np.outer(mu - mean, mu - mean)
    return within, between


def block_vectors(train: Pairs):
    """Images [x; 0] above texts [0; y], each centred, with the shares of their classes."""
    x, y = (np.float64(rows) - np.float64(rows).mean(0) for rows in (train.images, train.texts))
    p, q = x.shape[1], y.shape[1]
    z = np.vstack([np.pad(x, [(0, 0), (0, q)]), np.pad(y, [(0, 0), (p, 0)])])
    shares = train.labels / train.labels.sum(axis=1, keepdims=True)
    return z, np.vstack([shares, shares])


def ridge_matrix(z, p: int, ridge: float):
    """The ridge of each feature, relative to the mean of its modality's."""
    squares = np.sum(z**2, axis=0)
    return ridge * np.diag(
        np.concatenate([np.full(len(part), part.mean()) for part in np.split(squares, [p])])
    )


def projected(train: Pairs, test: Pairs, w):
    """The cosines of images and texts along joint directions `[p + q, k]`."""
    a, b = np.split(w, [train.images.shape[1]])
    return cosines(
        (test.images - np.float64(train.images).mean(0)) @ a,
        (test.texts - np.float64(train.texts).mean(0)) @ b,
    )


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
@pytest.mark.parametrize("n", [80, 12], ids=["many", "fewer rows than features"])
def test_scores_are_those_of_ldas_scatters_of_block_vectors(several, n):
    train, test = of_classes(n, 1, several), of_classes(30, 2)
    z, shares = block_vectors(train)
    within, between = scatters(z, shares)
    w = eigh(between, within + ridge_matrix(z, 9, 0.1))[1][:, :-CLASSES:-1]
    found = scores(fit(train, test), test)
    np.testing.assert_allclose(found, projected(train, test, w), atol=1e-4)


def test_of_one_view_it_is_lda():
    train = of_classes(80)
    view, _ = class_views(train)
    w = discriminants(view.scatter.copy(), view.sums, view.counts)
    lda = LinearDiscriminantAnalysis(solver="eigen").fit(
        np.float64(train.images), train.labels.argmax(1)
    )
    ours, theirs = (each / np.linalg.norm(each, axis=0) for each in (w, lda.scalings_[:, :3]))
    np.testing.assert_allclose(np.abs(np.sum(ours * theirs, axis=0)), 1, atol=1e-8)
    assert w.shape == (9, CLASSES - 1)


def test_a_view_twice_has_the_eigenvalues_of_lda():
    train = of_classes(80)
    twice = train.with_features(texts=train.images)
    views = class_views(twice)
    z = (np.float64(train.images) - views[0].mean) / views[0].deviation
    expected = eigh(*scatters(z, train.labels)[::-1], eigvals_only=True)[:-CLASSES:-1]
    scatter, zeros = views[0].scatter, np.zeros((9, 9))
    sums, counts = np.vstack([views[0].sums] * 2), 2 * views[0].counts
    w = discriminants(np.block([[scatter, zeros], [zeros, scatter]]), sums, counts)
    values = np.diag(w.T @ (sums / counts) @ sums.T @ w)
    np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_sets_that_are_not_paired():
    """The order of the texts says nothing, and there may be others of them."""
    train, test = of_classes(80), of_classes(20, 2)
    rows = np.random.default_rng(0).permutation(80)
    alone = replace(train, texts=train.texts[rows], text_labels=train.labels[rows])
    expected = scores(fit(train, test), test)
    np.testing.assert_allclose(scores(fit(alone, test), test), expected, atol=1e-5)
    fewer = replace(train, texts=train.texts[:50], text_labels=train.labels[:50])
    assert np.abs(scores(fit(fewer, test), test) - expected).max() > 0.01


def test_rows_without_a_class_teach_nothing():
    train, test = of_classes(60), of_classes(20, 2)
    hidden = train.labels.copy()
    hidden[40:] = 0
    expected = scores(fit(train.take(np.arange(40)), test), test)
    np.testing.assert_allclose(
        scores(fit(replace(train, labels=hidden), test), test), expected, atol=1e-5
    )


@both
def test_shifts_constant_columns_repeated_rows_and_classes_of_none_change_nothing(kind):
    train, test = of_classes(60), of_classes(20, 2)
    expected = scores(fit(train, test, **kind), test)
    same = train.take(np.repeat(np.arange(60), 2))
    same = replace(same, labels=np.pad(same.labels, [(0, 0), (0, 2)]))
    np.testing.assert_allclose(scores(fit(same, test, **kind), test), expected, atol=1e-5)
    changed = [
        pairs.with_features(pairs.images + 64, np.pad(pairs.texts, [(0, 0), (0, 1)]))
        for pairs in (train, test)
    ]
    # A column more makes the mean variance of the texts' features smaller.
    options = {"ridge": 1e-9} | kind
    np.testing.assert_allclose(
        scores(fit(*changed, **options), changed[1]),
        scores(fit(train, test, **options), test),
        atol=1e-3,
    )


@both
def test_a_class_of_one_row(kind):
    train, test = of_classes(60), of_classes(20, 2)
    labels = np.pad(train.labels, [(0, 0), (0, 1)])
    labels[7] = np.eye(5, dtype=np.uint8)[4]
    fitted = fit(replace(train, labels=labels), test, **kind)
    assert fitted.chosen["components"] == 4
    assert np.isfinite(scores(fitted, test)).all()


@both
def test_what_separates_nothing_is_told(kind):
    train = of_classes(40)
    one = replace(train, labels=np.eye(4, dtype=np.uint8)[np.zeros(40, int)])
    with pytest.raises(InputError, match="`labels` must separate .* received .*1 class.* give"):
        fit(one, train, **kind)
    with pytest.raises(InputError, match="`ridge` must be at least 1e-09; received 0"):
        fit(train, train, ridge=0, **kind)


@both
def test_the_smallest_ridge_keeps_a_singular_scatter_apart_from_rounding(kind):
    train, test = of_classes(12), of_classes(20, 2)
    train.images[:, 1], train.texts[5] = train.images[:, 0], train.texts[1]
    assert np.isfinite(scores(fit(train, test, ridge=1e-9, **kind), test)).all()


def test_validation_chooses_ridge_and_components():
    train, validation = make_pairs(20), make_pairs(60, 1)
    fitted = fit(train, validation, ridge=None)
    assert fitted.chosen["ridge"] in mvda.RIDGES and fitted.chosen["components"] == 2
    assert max(fitted.tried.values()) > min(fitted.tried.values())
    assert fit(train, validation, components=1).chosen["components"] == 1
