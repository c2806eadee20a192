import numpy as np
import pytest
from scipy.linalg import eig, eigh
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel

from tests.methods.closed_form.scores import cosines, scores
from tests.methods.closed_form.test_pls import related, without_labels
from tests.methods.closed_form.test_ridge_cca import oracle_scores as ridge_cca_scores
from tests.training.test_experiment import dataset, settings
from tfxmodal.errors import InputError
from tfxmodal.methods.closed_form import kcca, ridge_cca
from tfxmodal.methods.closed_form.kcca import KCCAConfig
from tfxmodal.training.experiment import run_experiment

K = 4


def fit(train, validation, **config):
    return kcca.fit(train, validation, KCCAConfig(**{"ridge": 1e-3, "components": K} | config))


def kernel_of(rows, kernel):
    gamma = np.median(pdist(rows)) ** -2
    return linear_kernel if kernel == "linear" else lambda a, b: rbf_kernel(a, b, gamma)


def oracle_scores(train, test, kernel, ridge):
    """(K_x + kappa I)^-1 K_y (K_y + kappa I)^-1 K_x alpha = rho^2 alpha, all kernels centred."""
    n, centred, new = len(train), [], []
    h = np.eye(n) - 1 / n
    for name in ("images", "texts"):
        rows, others = np.float64(getattr(train, name)), np.float64(getattr(test, name))
        k = kernel_of(rows, kernel)
        centred.append(h @ k(rows, rows) @ h)
        new.append((k(others, rows) - k(rows, rows).mean(axis=0)) @ h)
    (k_x, k_y), kappa = centred, [ridge * np.trace(k) for k in centred]
    to_y = np.linalg.solve(k_y + kappa[1] * np.eye(n), k_x)
    squares, alpha = eig(np.linalg.solve(k_x + kappa[0] * np.eye(n), k_y @ to_y))
    best = np.argsort(-squares.real)[:K]
    alpha = alpha[:, best].real
    length = np.einsum("ik,ij,jk->k", alpha, k_x @ k_x + kappa[0] * k_x, alpha)
    beta = to_y @ alpha / np.sqrt(squares[best].real)
    return cosines(new[0] @ (alpha / np.sqrt(length)), new[1] @ (beta / np.sqrt(length)))


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize(("n", "d", "ridge"), [(60, 12, 1e-3), (60, 12, 1e-1), (20, 60, 1e-3)])
def test_scores_are_those_of_the_definition(kernel, n, d, ridge):
    train, test = related(n, d, 7, n), related(20, d, 7, 1)
    fitted = fit(train, test, kernel=kernel, ridge=ridge)
    np.testing.assert_allclose(
        scores(fitted, test), oracle_scores(train, test, kernel, ridge), atol=1e-3
    )


def test_with_a_linear_kernel_it_is_ridge_cca():
    """Whose ridge is relative to one feature, here to the sum of all 9."""
    train, test = (related(n, 9, 9, n) for n in (60, 20))
    linear = ridge_cca.fit(train, test, ridge_cca.RidgeCCAConfig(ridge=0.09, components=K))
    found = scores(fit(train, test, kernel="linear", ridge=0.01), test)
    np.testing.assert_allclose(found, scores(linear, test), atol=1e-4)


def test_with_fewer_landmarks_it_is_ridge_cca_of_nystroem_features():
    train, test = (related(n, 6, 6, n) for n in (60, 20))
    chosen = np.sort(np.random.default_rng(0).choice(60, 15, replace=False))
    features = {"train": [], "test": []}
    for name in ("images", "texts"):
        landmarks = np.float64(getattr(train, name))[chosen]
        k = kernel_of(landmarks, "rbf")
        values, axes = eigh(k(landmarks, landmarks))
        root = axes / np.sqrt(values) @ axes.T
        features["train"].append(k(np.float64(getattr(train, name)), landmarks) @ root)
        features["test"].append(k(np.float64(getattr(test, name)), landmarks) @ root)
    nystroem = {name: without_labels(*views) for name, views in features.items()}
    expected = ridge_cca_scores(nystroem["train"], nystroem["test"], 0.15, K)
    found = scores(fit(train, test, landmarks=15, ridge=0.01), test)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_up_to_how_many_rows_it_is_exact(monkeypatch):
    def landmarks(n, **config):
        train = related(n, 6, 5, 0)
        network = fit(train, train, **config).networks["text_encoder"]
        return network.layers[2].count

    monkeypatch.setattr(kcca, "EXACT", 20)
    monkeypatch.setattr(kcca, "NYSTROEM", 8)
    assert [landmarks(20), landmarks(21), landmarks(20, landmarks=30)] == [20, 8, 20]


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_a_constant_shift_of_the_features_changes_nothing(kernel):
    train, test = (related(n, 12, 7, n) for n in (60, 20))
    far = [pairs.with_features(pairs.images + 512, pairs.texts - 512) for pairs in (train, test)]
    near = scores(fit(train, test, kernel=kernel, ridge=0.1), test)
    np.testing.assert_allclose(scores(fit(*far, kernel=kernel, ridge=0.1), far[1]), near, atol=2e-3)


def test_a_constant_column_and_repeated_rows_change_nothing():
    """Each row twice, and only the bandwidth of different rows."""
    train, test = (related(n, 12, 7, n) for n in (40, 20))
    expected = scores(fit(train, test), test)
    twice = train.take(np.repeat(np.arange(40), 2))
    np.testing.assert_allclose(scores(fit(twice, test), test), expected, atol=1e-3)
    wide = [
        pairs.with_features(np.pad(pairs.images, [(0, 0), (0, 1)], constant_values=7))
        for pairs in (train, test)
    ]
    np.testing.assert_allclose(scores(fit(*wide), wide[1]), expected, atol=1e-3)


def test_matrices_that_do_not_fit_in_memory_are_told_before_any_work(monkeypatch):
    pages = {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 1_000}
    monkeypatch.setattr(kcca.os, "sysconf", pages.get)
    kcca.check_memory(32)
    pairs = related(40, 8, 7, 0)
    monkeypatch.setattr(kcca, "KernelRows", None)
    with pytest.raises(
        InputError, match="`landmarks` .* received 33, which need .* GB of .* give fewer .Nystroem"
    ):
        fit(pairs, pairs, landmarks=33)


def test_a_second_fit_is_exact_where_the_first_is(monkeypatch):
    monkeypatch.setattr(kcca, "EXACT", 20)
    monkeypatch.setattr(kcca, "NYSTROEM", 8)

    def landmarks(first, second, **config):
        return kcca.landmarks_of(kcca.refit(KCCAConfig(**config), first, second), second)

    assert [landmarks(15, 18), landmarks(20, 30), landmarks(21, 30)] == [18, 30, 8]
    assert [landmarks(20, 30, landmarks=20), landmarks(20, 30, landmarks=19)] == [30, 19]


def test_a_second_fit_that_does_not_fit_in_memory_is_told_before_the_first(tmp_path, monkeypatch):
    """64 training pairs would fit, and the 24 of validation beside them do not."""
    monkeypatch.setattr(kcca, "usable_memory", lambda: 12 * 8 * 70**2)
    given = settings("kcca", ridge=0.01, components=3)
    fitted = run_experiment(given, tmp_path / "run", dataset=dataset(), figures=False)
    assert fitted.metrics["chosen"] == {"ridge": 0.01, "components": 3}
    monkeypatch.setattr(kcca, "KernelRows", None)
    with pytest.raises(
        InputError, match="`landmarks` .* received 88 for the second fit .`refit`., which need"
    ):
        run_experiment(given.having(refit=True), tmp_path / "refit", dataset=dataset())
    assert not (tmp_path / "refit").exists()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [([], 100_000), (["max\n"], 100_000), (["5000\n"], 5_000), ([f"{2**63 - 4096}\n"], 100_000)],
)
def test_a_container_may_have_less_memory_than_its_machine(limits, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(kcca.os, "sysconf", {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 1_000}.get)
    monkeypatch.setattr(kcca, "CONTAINER_LIMITS", (tmp_path / "v2", tmp_path / "v1"))
    for limit in limits:
        (tmp_path / "v1").write_text(limit)
    assert kcca.usable_memory() == expected
    if expected < 12 * 8 * 32**2:
        with pytest.raises(InputError, match="`landmarks` .* received 32, .* of the 0.0 GB that"):
            kcca.check_memory(32)


def test_validation_chooses_ridge_and_components(monkeypatch):
    monkeypatch.setattr(kcca, "RIDGES", (1e-6, 1e-1))
    monkeypatch.setattr(kcca, "COMPONENTS", (2, 10))
    train, validation = (related(n, 30, 20, n, noise=1) for n in (80, 40))
    fitted = fit(train, validation, ridge=None, components=None)
    assert fitted.chosen["ridge"] in kcca.RIDGES and len(fitted.tried) == 4
    assert max(fitted.tried.values()) > min(fitted.tried.values())
