"""Ridge CCA: regularised canonical correlation analysis, in closed form.

Hotelling, "Relations between two sets of variates", 1936; the ridge is Vinod's (1976).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import check_ranges
from tfxmodal.methods.closed_form.canonical import (
    candidates,
    check_unregularised,
    views_of,
    with_ridge,
)
from tfxmodal.methods.closed_form.selection import (
    COMPONENTS,
    best_on_validation,
    choices,
)
from tfxmodal.methods.spec import Fitted, MethodSpec

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridges that validation chooses from, relative to the mean variance of a feature."""

WEIGHTINGS = (0.0, 0.5, 1.0, 2.0)
"""Powers of the correlations that validation chooses from."""


@dataclass(frozen=True)
class RidgeCCAConfig:
    """Ridge CCA."""

    ridge: float | None = None
    """What is added to both covariances' diagonals, relative to the mean variance of a feature; by
    default validation chooses among .0001, .001 and so on to 100, where CCA is nearly PLS. Without
    any ridge (0) there must be more pairs, without repeats, than features of both modalities
    together."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 10, 20, 50, 100, 200."""

    weighting: float | None = None
    """Power p of rho^p, by which each dimension is multiplied, so that those in which images and
    texts go together count for more (CCA: 0, all alike); by default validation chooses among 0, .5,
    1 and 2."""

    def __post_init__(self):
        check_ranges(self, ridge="[0, inf)", components="[1, inf)", weighting="[0, inf)")


def fit(
    train: Pairs, validation: Pairs, config: RidgeCCAConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits CCA for each ridge, and chooses ridge, components and weighting by validation.

    The directions A, B of images x and texts y maximise tr(A^T C_xy B) under
    A^T (C_xx + r_x I) A = B^T (C_yy + r_y I) B = I: with the singular value decomposition
    (C_xx + r_x I)^-1/2 C_xy (C_yy + r_y I)^-1/2 = U diag(rho) V^T they are
    A = (C_xx + r_x I)^-1/2 U and B = (C_yy + r_y I)^-1/2 V. A pair is scored by the cosine of
    diag(rho)^p A^T (x - E x) and diag(rho)^p B^T (y - E y). The weights rho^p are a known variant;
    docs/results.md shows what they gain.

    Args:
        train: Training pairs as features, read in chunks; covariances and decompositions take some
            `50 d^2` bytes and a time of `n d^2 + d^3` for features of width d.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the images, or the texts, are all the same, or there are too few pairs for a
            ridge of 0.
    """
    views = views_of(train, progress)
    if config.ridge == 0:
        check_unregularised(views, train, "ridge")
    settings = [
        ({"ridge": ridge}, views, with_ridge(ridge)) for ridge in choices(config.ridge, RIDGES)
    ]
    wanted = choices(config.components, COMPONENTS)
    weightings = choices(config.weighting, WEIGHTINGS)
    found = candidates(settings, wanted, progress, weightings)
    return best_on_validation(found, validation, select_by)


SPEC = MethodSpec(
    name="ridge_cca",
    title="Regularised canonical correlation analysis",
    source="Hotelling 1936, Vinod 1976; the CCA that SCL and DRSL compare with has no ridge",
    setting="unsupervised",
    for_auto=True,
    config=RidgeCCAConfig,
    fit=fit,
)
