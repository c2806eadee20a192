import numpy as np
import pytest

from tests.methods.closed_form.scores import cosines, scores
from tests.methods.closed_form.test_pls import related, without_labels
from tfxmodal.errors import InputError
from tfxmodal.methods.closed_form import cca, ridge_cca
from tfxmodal.methods.closed_form.canonical import views_of, with_ridge
from tfxmodal.methods.closed_form.cca import CCAConfig


def fit(train, validation, **config):
    return cca.fit(train, validation, CCAConfig(**config))


def oracle_scores(train, test, rank, k):
    """PCA, then Hotelling's CCA by orthonormal bases: of X = Q_x R_x the SVD of Q_x^T Q_y."""
    bases, new = [], []
    for name in ("images", "texts"):
        rows = np.float64(getattr(train, name))
        mean = rows.mean(axis=0)
        axes = np.linalg.svd(rows - mean, full_matrices=False)[2][:rank].T
        bases.append(np.linalg.qr((rows - mean) @ axes))
        new.append((np.float64(getattr(test, name)) - mean) @ axes)
    (q_x, r_x), (q_y, r_y) = bases
    u, _, v = np.linalg.svd(q_x.T @ q_y, full_matrices=False)
    a, b = np.linalg.solve(r_x, u[:, :k]), np.linalg.solve(r_y, v[:k].T)
    return cosines(new[0] @ a, new[1] @ b)


@pytest.mark.parametrize(
    "d_image, d_text, rank, n", [(12, 7, 5, 200), (9, 12, 12, 200), (60, 50, 8, 40)]
)
def test_scores_are_those_of_the_definition(d_image, d_text, rank, n):
    train, test = (related(rows, d_image, d_text, rows) for rows in (n, 30))
    fitted = fit(train, test, rank=rank, components=4)
    assert fitted.chosen == {"rank": rank, "components": 4}
    np.testing.assert_allclose(scores(fitted, test), oracle_scores(train, test, rank, 4), atol=1e-4)


def test_at_full_rank_it_is_ridge_cca_without_a_ridge():
    train, test = (related(n, 12, 7, n) for n in (100, 30))
    with_none = ridge_cca.fit(train, test, ridge_cca.RidgeCCAConfig(ridge=0, components=5))
    whole = fit(train, test, rank=49, components=5)
    assert whole.chosen["rank"] == 12
    np.testing.assert_allclose(scores(whole, test), scores(with_none, test), atol=1e-4)


def test_invertible_maps_of_a_modality_change_nothing():
    train, test = (related(n, 8, 7, n) for n in (200, 30))
    q = np.random.default_rng(0).standard_normal((8, 8))
    mapped = [pairs.with_features(np.float32(pairs.images @ q - 5)) for pairs in (train, test)]
    options = {"rank": 8, "components": 5}
    np.testing.assert_allclose(
        scores(fit(*mapped, **options), mapped[1]),
        scores(fit(train, test, **options), test),
        atol=1e-3,
    )


def test_ranks_whose_correlations_say_nothing_are_not_tried():
    """Of unrelated features, too: above half of the pairs a correlation is 1, whatever they are."""
    rng = np.random.default_rng(0)
    pairs = without_labels(rng.standard_normal((31, 60)), rng.standard_normal((31, 50)))
    rho = [views_of(pairs).first(rank).directions(with_ridge(0), 1)[1][0] for rank in (15, 16)]
    assert rho[0] < 1 - 1e-4 and rho[1] == pytest.approx(1, abs=1e-7)
    fitted = fit(pairs, related(20, 60, 50, 1))
    assert fitted.chosen["rank"] == 15
    with pytest.raises(InputError, match="`rank` 16 needs 33 training pairs.*received 31: lower"):
        fit(pairs, pairs, rank=16)
    with pytest.raises(
        InputError, match="`rank` 1 needs 3 training pairs.*received 2: .*ridge_cca"
    ):
        fit(pairs.take(np.arange(2)), pairs)


def test_constant_columns_and_repeated_rows_change_nothing():
    train, test = (related(n, 8, 7, n) for n in (60, 30))
    expected = scores(fit(train, test, rank=7, components=5), test)
    twice = train.take(np.repeat(np.arange(60), 2))
    np.testing.assert_allclose(
        scores(fit(twice, test, rank=7, components=5), test), expected, atol=1e-4
    )
    wide = [
        pairs.with_features(np.pad(pairs.images, [(0, 0), (0, 1)], constant_values=7))
        for pairs in (train, test)
    ]
    np.testing.assert_allclose(
        scores(fit(*wide, rank=7, components=5), wide[1]), expected, atol=1e-4
    )


def test_validation_chooses_rank_and_components(monkeypatch):
    monkeypatch.setattr(cca, "RANKS", (20, 50))
    monkeypatch.setattr(cca, "COMPONENTS", (2, 10))
    train, validation = (related(n, 60, 50, n, noise=2) for n in (120, 60))
    fitted = fit(train, validation)
    assert fitted.chosen["rank"] in cca.RANKS and len(fitted.tried) == 4
    assert max(fitted.tried.values()) > min(fitted.tried.values())
    assert list(fit(train, validation, **fitted.chosen).tried.values()) == [
        max(fitted.tried.values())
    ]
