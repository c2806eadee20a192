import numpy as np
import pytest
from scipy.linalg import block_diag, eigh

from tests.methods.closed_form.scores import scores
from tests.methods.closed_form.test_pls import oracle_scores as pls_scores
from tests.methods.closed_form.test_pls import related
from tests.methods.closed_form.test_ridge_cca import oracle_scores as ridge_cca_scores
from tfxmodal.methods.closed_form import mcca, pls, ridge_cca
from tfxmodal.methods.closed_form.canonical import views_of
from tfxmodal.methods.closed_form.mcca import MCCAConfig, shrunk


def fit(train, validation, **config):
    return mcca.fit(train, validation, MCCAConfig(**config))


def blocks(train, c):
    """A, the covariances between the views, and B, the shrunk ones within them."""
    whole = np.cov(np.float64(train.images).T, np.float64(train.texts).T, bias=True)
    d = train.images.shape[1]
    own = [whole[:d, :d], whole[d:, d:]]
    b = block_diag(*[(1 - c) * s + c * np.trace(s) / len(s) * np.eye(len(s)) for s in own])
    return whole - block_diag(*own), b


@pytest.mark.parametrize("c", [0, 0.1, 0.9])
@pytest.mark.parametrize("d_image, d_text", [(12, 7), (5, 9)])
def test_of_two_views_the_joint_eigenproblem_is_that_of_cca(d_image, d_text, c):
    """Its eigenvalues are +-rho, or 1 +- rho where A holds the blocks within the views, too."""
    train, k = related(200, d_image, d_text, 0), min(d_image, d_text)
    a, b = blocks(train, c)
    of_images, rho, of_texts = views_of(train).directions(shrunk(c), k)
    nothing = np.zeros(d_image + d_text - 2 * k)
    for shift, left in ((0, a), (1, a + b)):
        found = np.sort(np.concatenate([rho, -rho, nothing])) + shift
        np.testing.assert_allclose(eigh(left, b, eigvals_only=True), found, atol=1e-10)
    joint = np.vstack([of_images, of_texts])
    np.testing.assert_allclose(a @ joint, b @ joint * rho, atol=1e-10)
    np.testing.assert_allclose(joint.T @ b @ joint, 2 * np.eye(k), atol=1e-10)


def test_the_path_goes_from_ridge_cca_to_pls():
    """c C + (1 - c) v I is a multiple of C + r v I with r = c / (1 - c)."""
    train, test = (related(n, 30, 20, n) for n in (200, 40))
    ridge = ridge_cca.fit(train, test, ridge_cca.RidgeCCAConfig(ridge=0.25, components=4))
    shrink = scores(fit(train, test, shrinkage=0.2, components=4), test)
    np.testing.assert_allclose(shrink, scores(ridge, test), atol=1e-4)
    last = scores(fit(train, test, shrinkage=1, components=4), test)
    end = scores(pls.fit(train, test, pls.PLSConfig(components=4)), test)
    np.testing.assert_allclose(last, end, atol=1e-4)
    assert np.abs(shrink - end).max() > 0.01


def test_fewer_pairs_than_features_constant_columns_and_repeated_rows():
    train, test = (related(n, 60, 50, n) for n in (30, 20))
    train.images[:, 3] = 7
    train.texts[1] = train.texts[0]
    for c, expected in (
        (0.1, ridge_cca_scores(train, test, 0.1 / 0.9, 5)),
        (1, pls_scores(train, test, 5)),
    ):
        found = scores(fit(train, test, shrinkage=c, components=5), test)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_validation_chooses_shrinkage_and_components(monkeypatch):
    monkeypatch.setattr(mcca, "SHRINKAGES", (0.01, 1.0))
    monkeypatch.setattr(mcca, "COMPONENTS", (2, 10))
    train, validation = (related(n, 60, 50, n, noise=2) for n in (120, 60))
    fitted = fit(train, validation)
    assert fitted.chosen["shrinkage"] in mcca.SHRINKAGES and len(fitted.tried) == 4
    assert max(fitted.tried.values()) > min(fitted.tried.values())
    assert list(fit(train, validation, **fitted.chosen).tried.values()) == [
        max(fitted.tried.values())
    ]
