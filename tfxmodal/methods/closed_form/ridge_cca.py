"""Ridge CCA: regularised canonical correlation analysis, in closed form.

Hotelling, "Relations between two sets of variates", 1936; the ridge is Vinod's (1976).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.errors import check_ranges
from tfxmodal.heads.linear import linear_projection
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.selection import best_on_validation
from tfxmodal.methods.spec import Fitted, MethodSpec

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridges that validation chooses from, relative to the mean variance of a feature."""

COMPONENTS = (10, 20, 50, 100, 200)
"""Dimensions of the common space that validation chooses from."""


@dataclass(frozen=True)
class RidgeCCAConfig:
    """Ridge CCA."""

    ridge: float | None = None
    """What is added to both covariances' diagonals, relative to the mean variance of a feature; by
    default validation chooses among .0001, .001 and so on to 100, where CCA is nearly PLS. Without
    any ridge (0), and with fewer pairs than features, every correlation is 1 and says nothing."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 10, 20, 50, 100, 200."""

    def __post_init__(self):
        check_ranges(self, ridge="[0, inf)", components="[1, inf)")


def fit(
    train: Pairs, validation: Pairs, config: RidgeCCAConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits CCA for each ridge, and chooses ridge and components by the validation pairs.

    The directions A, B of images x and texts y maximise tr(A^T C_xy B) under
    A^T (C_xx + r_x I) A = B^T (C_yy + r_y I) B = I: with the singular value decomposition
    (C_xx + r_x I)^-1/2 C_xy (C_yy + r_y I)^-1/2 = U diag(rho) V^T they are
    A = (C_xx + r_x I)^-1/2 U and B = (C_yy + r_y I)^-1/2 V. A pair is scored by the cosine of
    A^T (x - E x) and B^T (y - E y).

    Args:
        train: Training pairs as features, read once in chunks; covariances and decompositions take
            some `50 d^2` bytes for features of width d.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.
    """
    of = moments(train.images, train.texts, progress=progress)
    images = _principal(train.images, of.image_mean, of.images)
    texts = _principal(train.texts, of.text_mean, of.texts)
    rotated = images.axes.T @ of.between @ texts.axes
    wanted = COMPONENTS if config.components is None else (config.components,)
    ridges = RIDGES if config.ridge is None else (config.ridge,)

    def candidates():
        for ridge in progress(ridges, total=len(ridges), desc="ridges") if progress else ridges:
            whiten = [1 / np.sqrt(side.variances + ridge * side.mean) for side in (images, texts)]
            left, rho, right = _top_singular(whiten[0][:, None] * rotated * whiten[1], max(wanted))
            a = images.axes @ (whiten[0][:, None] * left)
            b = texts.axes @ (whiten[1][:, None] * right)
            for k in sorted({min(k, len(rho)) for k in wanted}):
                networks = {
                    "image_encoder": linear_projection(of.image_mean, a[:, :k]),
                    "text_encoder": linear_projection(of.text_mean, b[:, :k]),
                }
                chosen = {"ridge": ridge, "components": k}
                yield f"ridge {ridge:g}, {k} components", Fitted(networks, chosen)

    return best_on_validation(candidates(), validation, select_by)


@dataclass(frozen=True)
class _Principal:
    """Axes along which features vary `[d, r]`, the variances `[r]`, and the mean of all d."""

    axes: np.ndarray
    variances: np.ndarray
    mean: float


def _principal(rows: Features, mean: np.ndarray, covariance: np.ndarray) -> _Principal:
    """The principal axes of features; those to which rounding alone gives a variance are left out.

    With fewer rows than columns they are found from the products of the rows, which are smaller.

    Args:
        rows: `[n, d]`.
        mean: `[d]`.
        covariance: `[d, d]`.
    """
    n, d = rows.shape
    if n < d:
        centred = np.asarray(rows[:], np.float64) - mean
        variances, sides = np.linalg.eigh(centred @ centred.T / n)
    else:
        variances, axes = np.linalg.eigh(covariance)
    kept = variances > np.finfo(float).eps * d * variances.max()
    variances = variances[kept]
    if n < d:
        axes = centred.T @ (sides[:, kept] / np.sqrt(n * variances))
    else:
        axes = axes[:, kept]
    return _Principal(axes, variances, np.trace(covariance) / d)


def _top_singular(matrix: np.ndarray, k: int):
    """The k largest singular values and their vectors: `[p, k]`, `[k]`, `[q, k]`.

    By the eigenvectors of the smaller Gram matrix: top values of a covariance's size are exact to
    rounding, and the largest networks of the field take seconds instead of minutes.
    """
    from scipy.linalg import eigh

    if matrix.shape[0] < matrix.shape[1]:
        right, values, left = _top_singular(matrix.T, k)
        return left, values, right
    q = matrix.shape[1]
    squares, right = eigh(matrix.T @ matrix, subset_by_index=[max(0, q - k), q - 1])
    squares, right = squares[::-1], right[:, ::-1]
    kept = squares > np.finfo(float).eps * q * squares[0]
    values, right = np.sqrt(squares[kept]), right[:, kept]
    return matrix @ right / values, values, right


SPEC = MethodSpec(
    name="ridge_cca",
    title="Regularised canonical correlation analysis",
    source="Hotelling 1936, Vinod 1976; the CCA that SCL and DRSL compare with has no ridge",
    setting="unsupervised",
    for_auto=True,
    config=RidgeCCAConfig,
    fit=fit,
)
