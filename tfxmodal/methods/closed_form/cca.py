"""CCA without a ridge, on the principal components of each modality, in closed form.

Hotelling, "Relations between two sets of variates", 1936; in retrieval Rasiwasia et al., ACM MM
2010, section 4.1. It is the CCA that SCL and DRSL compare with.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.methods.closed_form.canonical import (
    COMPONENTS,
    candidates,
    independent_pairs,
    views_of,
    with_ridge,
)
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.spec import Fitted, MethodSpec

RANKS = (20, 50, 100, 200, 500)
"""Numbers of principal components that validation chooses from."""


@dataclass(frozen=True)
class CCAConfig:
    """CCA."""

    rank: int | None = None
    """Principal components of each modality that are kept, at most half of the training pairs
    without repeats; by default validation chooses among 20, 50, 100, 200 and 500 (ours: the papers
    tell nothing)."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 5, 10, 20, 50, 100 and
    200."""

    def __post_init__(self):
        check_ranges(self, rank="[1, inf)", components="[1, inf)")


def fit(
    train: Pairs, validation: Pairs, config: CCAConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits CCA for each rank, and chooses rank and components by the validation pairs.

    The directions A, B maximise tr(A^T C_xy B) under A^T C_xx A = B^T C_yy B = I, where images x
    and texts y are their first `rank` principal components. A pair is scored by the cosine of
    A^T (x - E x) and B^T (y - E y).

    The centred rows of n pairs without repeats span n - 1 dimensions. With more than (n - 1) / 2
    components in each modality, the spaces of both meet there whatever the data are: with fewer
    rows than dimensions every correlation is 1. So larger ranks are not tried. The rank is what
    regularises this method, as the ridge does `ridge_cca`, whose solution is the same in all other
    respects: at full rank this is `ridge_cca` with a ridge of 0.

    Args:
        train: Training pairs as features, read in chunks; covariances and decompositions take some
            `50 d^2` bytes and a time of `n d^2 + d^3` for features of width d.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the pairs are too few for the rank.
    """
    pairs, least = independent_pairs(train), config.rank or 1
    most = (pairs - 1) // 2
    if most < least:
        raise InputError(
            f"`rank` {least} needs {2 * least + 1} training pairs without repeats, so that a "
            f"correlation says something; received {pairs}: lower it, give more pairs, or take "
            "ridge_cca."
        )
    views = views_of(train, progress)
    most = min(most, max(len(side.variances) for side in (views.images, views.texts)))
    ranks = sorted({min(rank, most) for rank in choices(config.rank, RANKS)})
    settings = [({"rank": rank}, views.first(rank), with_ridge(0)) for rank in ranks]
    found = candidates(settings, choices(config.components, COMPONENTS), progress)
    return best_on_validation(found, validation, select_by)


SPEC = MethodSpec(
    name="cca",
    title="Canonical correlation analysis",
    source="Hotelling 1936; the baseline of SCL and DRSL; Rasiwasia et al., ACM MM 2010, sec. 4.1",
    setting="unsupervised",
    config=CCAConfig,
    fit=fit,
    search_space={"rank": RANKS},
)
