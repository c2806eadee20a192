"""PLS, partial least squares: the linear baseline, in closed form (SCL, reference [5])."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import check_ranges
from tfxmodal.heads.linear import linear_projection
from tfxmodal.methods.closed_form.canonical import check_varies, top_singular
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.selection import (
    COMPONENTS,
    Projections,
    best_on_validation,
    choices,
    of_components,
)
from tfxmodal.methods.spec import Fitted, MethodSpec

__all__ = ["COMPONENTS", "SPEC", "PLSConfig", "fit"]


@dataclass(frozen=True)
class PLSConfig:
    """PLS."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 10, 20, 50, 100, 200."""

    def __post_init__(self):
        check_ranges(self, components="[1, inf)")


def fit(
    train: Pairs, validation: Pairs, config: PLSConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits PLS, and chooses its number of components by the validation pairs.

    The directions u_i, v_i of images x and texts y are the first singular vectors of the
    cross-covariance C = E[(x - E x)(y - E y)^T]: those along which both vary together most. A pair
    is scored by the cosine of its projections U^T (x - E x) and V^T (y - E y). Directions that are
    rounding alone, such as those beyond n - 1 of n pairs, are left out.

    Args:
        train: Training pairs as features, read once in chunks; C takes `8 d_image d_text` bytes
            and a time of `n d^2`, its directions one of `d^3`, for features of width d.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the images, or the texts, are all the same.
    """
    check_varies(train.images, train.texts)
    of = moments(train.images, train.texts, within=False, progress=progress)
    wanted = choices(config.components, COMPONENTS)
    left, _, right = top_singular(of.between, max(wanted))
    projections = Projections(
        (partial(linear_projection, of.image_mean), left),
        (partial(linear_projection, of.text_mean), right),
    )
    found = of_components(projections, wanted, {})
    return best_on_validation(found, validation, select_by)


SPEC = MethodSpec(
    name="pls",
    title="Partial least squares",
    source="the SVD of the cross-covariance; SCL, reference [5]",
    setting="unsupervised",
    for_auto=True,
    config=PLSConfig,
    fit=fit,
)
