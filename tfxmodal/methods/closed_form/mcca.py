"""MCCA, multi-view canonical correlation analysis, of two views, in closed form.

Kettenring, "Canonical analysis of several sets of variables", 1971; Rupnik and Shawe-Taylor,
"Multi-view canonical correlation analysis", SiKDD 2010. Neither paper could be had: this is our
reading of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import check_ranges
from tfxmodal.methods.closed_form.canonical import (
    COMPONENTS,
    Regularise,
    candidates,
    check_unregularised,
    views_of,
)
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.spec import Fitted, MethodSpec

SHRINKAGES = (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Shrinkages that validation chooses from."""


@dataclass(frozen=True)
class MCCAConfig:
    """MCCA."""

    shrinkage: float | None = None
    """What share c of each covariance is replaced by a multiple of the identity: 0 is CCA, 1 is
    PLS. By default validation chooses among .001, .01, .1, .3, .5, .7, .9 and 1. With 0 there
    must be more pairs, without repeats, than features of both modalities together."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 5, 10, 20, 50, 100 and
    200."""

    def __post_init__(self):
        check_ranges(self, shrinkage="[0, 1]", components="[1, inf)")


def fit(
    train: Pairs, validation: Pairs, config: MCCAConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits MCCA for each shrinkage, and chooses it and the components by the validation pairs.

    The directions w = [w_1; w_2; ...] of all views maximise sum_{i != j} w_i^T C_ij w_j under
    sum_i w_i^T R_i w_i = 1, R_i = (1 - c) C_ii + c v_i I, where v_i is the mean variance of view
    i's features (cca_zoo has v_i = 1, which hangs on the features' scale). They are the
    eigenvectors of A w = lambda B w; A holds the blocks C_ij off the diagonal and B the blocks R_i
    on it.

    Of two views the eigenvalues are +-rho, the canonical correlations under this regularisation,
    and the eigenvector of rho is CCA's pair of directions. So it is solved as CCA, by matrices of
    one view's width. In retrieval it differs from `ridge_cca` in its path of regularisation alone,
    which ends at PLS (c = 1), and from the MCCA of papers in how that was chosen, which they do not
    tell. A pair is scored by the cosine of w_1^T (x - E x) and w_2^T (y - E y).

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
            shrinkage of 0.
    """
    views = views_of(train, progress)
    if config.shrinkage == 0:
        check_unregularised(views, train, "shrinkage")
    settings = [({"shrinkage": c}, views, shrunk(c)) for c in choices(config.shrinkage, SHRINKAGES)]
    found = candidates(settings, choices(config.components, COMPONENTS), progress)
    return best_on_validation(found, validation, select_by)


def shrunk(c: float) -> Regularise:
    """Replaces the share c of a view's variances by their mean."""
    return lambda side: (1 - c) * side.variances + c * side.unit


SPEC = MethodSpec(
    name="mcca",
    title="Multi-view canonical correlation analysis",
    source="Kettenring 1971; Rupnik and Shawe-Taylor 2010; cca_zoo, linear/_mcca.py",
    setting="unsupervised",
    config=MCCAConfig,
    fit=fit,
    search_space={"shrinkage": SHRINKAGES},
)
