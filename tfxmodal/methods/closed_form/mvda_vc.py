"""MvDA-VC, multi-view discriminant analysis with view consistency, in closed form.

Kan, Shan, Zhang, Lao and Chen, "Multi-view discriminant analysis", TPAMI 2016. The paper could not
be had: this is our reading of it, after the code that people wrote to it (inspiros/pcmvda,
zb-spec/B2DMvDA).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Pairs, labelled
from tfxmodal.errors import check_ranges
from tfxmodal.methods.closed_form.canonical import COMPONENTS
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.mvda import ClassView, MvDAConfig, candidates, class_views
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.few_labels import labelled_features, with_few_labels
from tfxmodal.methods.spec import Fitted, MethodSpec

CONSISTENCIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of the view consistency that validation chooses from."""

RIDGES = (1e-6, 1e-4, 1e-2)
"""Ridges that validation chooses from beside them."""

KAPPA = 1e-4  # pcmvda's, relative to tr(X X^T).


@dataclass(frozen=True)
class MvDAVCConfig(MvDAConfig):
    """MvDA-VC."""

    ridge: float | None = None
    """What is added to the diagonal of the scatter within classes, relative to the mean variance of
    a feature; by default validation chooses among .000001, .0001 and .01."""

    consistency: float | None = None
    """Weight of the view consistency against the scatter within classes; 0 is mvda. By default
    validation chooses among .000001, .00001 and so on to 1."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self, consistency="[0, inf)")


def fit(
    train: Pairs, validation: Pairs, config: MvDAVCConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits MvDA-VC for each weight and ridge, and chooses among them by the validation pairs.

    This is MvDA (see `closed_form/mvda.py`) with S_w + c M instead of S_w. The directions of a view
    are written as W_j = X_j^T beta_j, where X_j holds its n centred rows, and row i of each X_j is
    of pair i. The penalty sum_{j,r} |beta_j - beta_r|^2 = tr(W^T M W), j and r over both views,
    draws the weights of a pair's image and text to each other. With beta_j = P_j W_j and
    P_j = X_j (X_j^T X_j + kappa I)^-1, M has the blocks 2 P_j^T P_j on its diagonal and
    -2 P_j^T P_r off it, all made of covariances. kappa is 1e-4 tr(X_j X_j^T), as in pcmvda.

    M is brought to the trace of S_w, as B2DMvDA does: else it falls with n^2 against S_w, and one
    weight would not do for two datasets. pcmvda leaves it as it is.

    Args:
        train: Labelled pairs as features, read in chunks; pairs without a class are left out. Time
            is `n d^2 + d^3` for d = d_image + d_text, memory some `35 d^2` bytes.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the labels separate no classes, or all images or texts are the same.
    """
    views, rows = class_views(train, progress), labelled(train.labels)
    between = moments(*labelled_features(train), within=False, progress=progress).between
    matrix = penalty(*views, len(rows) * between / (views[0].deviation * views[1].deviation))
    settings = [
        {"ridge": ridge, "consistency": weight}
        for ridge in choices(config.ridge, RIDGES)
        for weight in choices(config.consistency, CONSISTENCIES)
    ]
    wanted = choices(config.components, COMPONENTS)
    found = candidates(views, settings, wanted, matrix, progress)
    return best_on_validation(found, validation, select_by)


def penalty(images: ClassView, texts: ClassView, between: np.ndarray) -> np.ndarray:
    """M of two views `[d_image + d_text, d_image + d_text]`, at the trace of S_w.

    Args:
        images: X_1.
        texts: X_2.
        between: X_1^T X_2, `[d_image, d_text]`.
    """
    inverses = [
        np.linalg.inv(view.scatter + KAPPA * view.rows * np.eye(len(view.mean)))
        for view in (images, texts)
    ]
    own = [2 * p @ view.scatter @ p for p, view in zip(inverses, (images, texts), strict=True)]
    across = -2 * inverses[0] @ between @ inverses[1]
    matrix = np.block([[own[0], across], [across.T, own[1]]])
    counts = images.counts + texts.counts
    squares = (images.sums**2).sum(axis=0) + (texts.sums**2).sum(axis=0)
    of_classes = np.sum(squares[counts > 0] / counts[counts > 0])
    within = images.rows + texts.rows - of_classes
    return within / np.trace(matrix) * matrix


SPEC = MethodSpec(
    name="mvda_vc",
    title="Multi-view discriminant analysis with view consistency",
    source="Kan et al., TPAMI 2016; after inspiros/pcmvda and zb-spec/B2DMvDA",
    setting="supervised",
    config=MvDAVCConfig,
    fit=fit,
    seen=with_few_labels,
    needs_labels=True,
    needs_classes=True,
    search_space={"ridge": RIDGES, "consistency": CONSISTENCIES},
)
