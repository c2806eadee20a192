"""Graphs over the training rows, none of which is held as a matrix `[n, n]`."""

from __future__ import annotations

import numpy as np

from tfxmodal.methods.closed_form.standardised import Standardised, chunks, product
from tfxmodal.retrieval.faiss_package import load_faiss


def roughness(
    rows: Standardised, neighbours: int, as_released: bool = False, progress=None, desc: str = ""
) -> np.ndarray:
    """X^T L X of the graph of nearest neighbours, `[d, d]`.

    L = I - D^-1/2 K D^-1/2 with the degrees D = diag(K 1), so that tr(P^T X^T L X P) is large where
    neighbours are projected to different places. K_ij is 1 where i is among the nearest neighbours
    of j, or j among those of i, and 0 elsewhere: `n neighbours` numbers, found in O(n^2 d) time.

    Args:
        rows: X, `[n, d]`, of which `8 n d` bytes are held.
        neighbours: Of each row, itself not counted.
        as_released: Take the L of JRL's released code: D as above, but K_ij = sigmoid(-|x_i - x_j|)
            of all i and j. It is no Laplacian, since D is not that of K; it may be indefinite.
        progress: Wraps an iterable, as tqdm does.
        desc: The name of the progress.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import laplacian

    held = rows.in_memory()
    n, k = len(held), min(neighbours + 1, len(held))
    parts = chunks(n)
    parts = progress(parts, total=len(parts), desc=desc) if progress else parts
    nearest = np.concatenate([load_faiss().knn(held[part], held, k)[1] for part in parts])
    ends = np.arange(0, n * k + 1, k)
    edges = csr_array((np.ones(n * k, np.float32), nearest.ravel(), ends), (n, n))
    edges = edges.maximum(edges.T)
    edges.setdiag(0)
    if not as_released:
        return product(held, laplacian(edges, normed=True) @ held)
    return product(held, _released(held, np.asarray(edges.sum(axis=1)).ravel()))


def _released(held: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """L X by the released code's L, a few rows at a time."""
    from scipy.special import expit
    from sklearn.metrics.pairwise import euclidean_distances

    scale = 1 / np.sqrt(np.maximum(degrees, 1))[:, None]
    scaled, rough = scale * held, np.empty_like(held)
    for part in chunks(len(held)):
        similar = expit(-euclidean_distances(held[part], held))
        rough[part] = held[part] - scale[part] * (similar @ scaled)
    return rough


def label_graph(labels: np.ndarray) -> np.ndarray:
    """The factor G `[n, classes]` of the Laplacian L = I - G G^T of a graph of label rows.

    Rows are as similar as the cosine of their labels: W = Y Y^T with the rows of Y at unit length.
    With the degrees D = diag(W 1), L = I - D^-1/2 W D^-1/2, and G = D^-1/2 Y. A row without a label
    has no edge.

    Args:
        labels: At least 0, `[n, classes]`.
    """
    lengths = np.linalg.norm(labels, axis=1, keepdims=True)
    unit = np.divide(labels, lengths, out=np.zeros(labels.shape), where=lengths > 0)
    degrees = unit @ unit.sum(axis=0)
    scale = np.divide(1, np.sqrt(degrees), out=np.zeros(len(unit)), where=degrees > 0)
    return scale[:, None] * unit
