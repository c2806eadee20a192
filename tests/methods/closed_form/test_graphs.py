import numpy as np
import pytest
from scipy.special import expit

from tfxmodal.methods.closed_form import standardised
from tfxmodal.methods.closed_form.graphs import label_graph, roughness
from tfxmodal.methods.closed_form.standardised import Standardised, product


def features(n=40, d=6, seed=0) -> np.ndarray:
    """Columns of unequal scales, away from the origin."""
    rows = np.random.default_rng(seed).standard_normal((n, d)) * np.geomspace(0.1, 10, d) + 3
    return rows.astype(np.float32)


def z_scored(rows: np.ndarray) -> np.ndarray:
    rows = np.float64(rows)
    return (rows - rows.mean(0)) / rows.std(0)


def distances(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


def neighbour_edges(x: np.ndarray, k: int) -> np.ndarray:
    """K_ij = 1 where i is among the k nearest of j, or j among those of i."""
    edges = np.zeros((len(x), len(x)))
    for i, row in enumerate(distances(x)):
        row[i] = np.inf
        edges[i, np.argsort(row)[:k]] = 1
    return np.maximum(edges, edges.T)


def laplacian(edges: np.ndarray, degrees: np.ndarray | None = None) -> np.ndarray:
    """I - D^-1/2 K D^-1/2."""
    degrees = edges.sum(1) if degrees is None else degrees
    return np.eye(len(edges)) - edges / np.sqrt(np.outer(degrees, degrees))


@pytest.fixture(params=[7, 2048])
def in_chunks(request, monkeypatch):
    monkeypatch.setattr(standardised, "CHUNK", request.param)


def test_roughness_is_that_of_the_dense_graph(in_chunks):
    rows, k = features(), 4
    x = z_scored(rows)
    found = roughness(Standardised.of(rows), k)
    edges = neighbour_edges(x, k)
    np.testing.assert_allclose(found, x.T @ laplacian(edges) @ x, atol=1e-4)
    # A Laplacian's form is a sum over its edges; it is 0 for what is even, scaled by the degrees.
    scaled = x / np.sqrt(edges.sum(1))[:, None]
    differences = scaled[:, None] - scaled[None]
    summed = np.einsum("ij,ijd,ije->de", edges, differences, differences) / 2
    np.testing.assert_allclose(found, summed, atol=1e-4)


def test_the_released_graph_joins_all_rows_with_degrees_of_the_neighbours(in_chunks):
    rows, k = features(), 4
    x = z_scored(rows)
    degrees = neighbour_edges(x, k).sum(1)
    expected = x.T @ laplacian(expit(-distances(x)), degrees) @ x
    np.testing.assert_allclose(
        roughness(Standardised.of(rows), k, as_released=True), expected, atol=1e-3
    )


def test_all_rows_are_neighbours_where_there_are_few():
    rows = features(5)
    x = z_scored(rows)
    complete = laplacian(1 - np.eye(5))
    np.testing.assert_allclose(roughness(Standardised.of(rows), 100), x.T @ complete @ x, atol=1e-5)


@pytest.mark.parametrize("n", [1, 30])
def test_rows_that_are_all_alike_are_finite(n):
    alike = np.ones((n, 3), np.float32)
    for as_released in (False, True):
        np.testing.assert_array_equal(roughness(Standardised.of(alike), 5, as_released), 0)


def test_the_neighbours_are_shown_as_they_are_found():
    seen = []

    def progress(items, total, desc):
        seen.append((total, desc))
        return items

    roughness(Standardised.of(features()), 4, progress=progress, desc="image neighbours")
    assert seen == [(1, "image neighbours")]


@pytest.mark.parametrize("several", [False, True])
def test_the_factor_is_that_of_the_dense_laplacian(several):
    random = np.random.default_rng(0)
    labels = np.eye(3)[np.arange(20) % 3]
    if several:
        labels = np.maximum(labels, random.random((20, 3)))
    labels[4] = 0
    factor = label_graph(labels)
    unit = labels / np.maximum(np.linalg.norm(labels, axis=1, keepdims=True), 1e-300)
    cosines = unit @ unit.T
    degrees = cosines.sum(1)
    degrees[4] = 1  # It has no edge: its row of the graph is zero.
    np.testing.assert_allclose(np.eye(20) - factor @ factor.T, laplacian(cosines, degrees))
    if not several:  # Same class 1, other classes 0.
        known = np.delete(np.arange(20), 4)
        same = labels[known] @ labels[known].T
        np.testing.assert_allclose(cosines[np.ix_(known, known)], same)


def test_products_are_read_in_chunks(in_chunks):
    left, right = Standardised.of(features()), Standardised.of(features(seed=1))
    x, y = z_scored(left.features), z_scored(right.features)
    some = np.arange(3, 40, 2)
    np.testing.assert_allclose(product(left, right), x.T @ y, atol=1e-4)
    np.testing.assert_allclose(product(left, left, some), x[some].T @ x[some], atol=1e-4)
    np.testing.assert_allclose(left.projected(np.eye(6)[:, :2]), x[:, :2], atol=1e-5)
    np.testing.assert_allclose(left.in_memory(), x, atol=1e-5)
