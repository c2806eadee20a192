"""MvDA, multi-view discriminant analysis, in closed form.

Kan, Shan, Zhang, Lao and Chen, "Multi-view discriminant analysis", TPAMI 2016 (ECCV 2012). The
paper could not be had: this is our reading of it, after the code that people wrote to it
(inspiros/pcmvda, zb-spec/B2DMvDA).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tfxmodal.data.pairs import Features, Pairs, labelled
from tfxmodal.data.repeated import TakenFeatures
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.linear import linear_projection
from tfxmodal.methods.closed_form.canonical import COMPONENTS, all_the_same
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.selection import (
    Candidate,
    Projections,
    best_on_validation,
    choices,
    of_components,
)
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.spec import Fitted, MethodSpec

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridges that validation chooses from, relative to the mean variance of a feature."""

SEPARATES = 1e-7  # The root of a direction's share of scatter between classes; below is rounding.


@dataclass(frozen=True)
class MvDAConfig(FewLabels):
    """MvDA."""

    ridge: float | None = None
    """What is added to the diagonal of the scatter within classes, relative to the mean variance of
    a feature, at least 1e-9; by default validation chooses among .000001, .00001 and so on to 10.
    It keeps the scatter from being singular where there are fewer rows than features."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 5, 10, 20, 50, 100, 200.
    There are fewer than classes in any case."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self, ridge="[1e-9, inf)", components="[1, inf)")


def fit(
    train: Pairs, validation: Pairs, config: MvDAConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits MvDA for each ridge, and chooses ridge and components by the validation pairs.

    The directions W = [W_x; W_y] of images x and texts y maximise
    tr((W^T (S_w + r I) W)^-1 W^T S_b W). S_w and S_b are LDA's scatters within and between the
    classes of all images and texts together, an image being the vector [x; 0] and a text [0; y], so
    that both modalities share the class means. They are normalised to W^T (S_w + r I) W = I. An
    image and a text are scored by the cosine of W_x^T (x - E x) and W_y^T (y - E y).

    Each modality is centred by itself, else the distance between both would count as scatter, and
    scaled to a total variance of 1, which changes no score here and makes one ridge fit both. A row
    of several classes is ours: it counts as 1 / m of a row of each of its m classes. Rows without a
    class are left out; images and texts need not be paired. S_w + S_b has no block between
    modalities, and S_b has the rank of the class means, so that no matrix is larger than
    `(d_image + d_text)^2`.

    Args:
        train: Labelled images and texts as features, read in chunks. Time is `n d^2 + d^3` for
            d = d_image + d_text, memory some `25 d^2` bytes.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the labels separate no classes, or all images or texts are the same.
    """
    settings = [{"ridge": ridge} for ridge in choices(config.ridge, RIDGES)]
    wanted = choices(config.components, COMPONENTS)
    found = candidates(class_views(train, progress), settings, wanted, progress=progress)
    return best_on_validation(found, validation, select_by)


@dataclass(frozen=True)
class ClassView:
    """The labelled rows z of a modality, centred and scaled to a total variance of 1.

    Attributes:
        mean: E x of the features x, `[d]`.
        deviation: The root of their total variance: z = (x - mean) / deviation.
        rows: How many there are, n.
        scatter: The sum of z z^T, `[d, d]`; its trace is n.
        sums: For each class the sum of its z, `[d, classes]`.
        counts: How many rows a class has, `[classes]`.
    """

    mean: np.ndarray
    deviation: float
    rows: int
    scatter: np.ndarray
    sums: np.ndarray
    counts: np.ndarray


def class_views(train: Pairs, progress=None) -> tuple[ClassView, ClassView]:
    """The labelled images and texts.

    Raises:
        InputError: If all of one of them are the same.
    """
    text_labels = train.labels if train.paired else train.text_labels
    return (
        _class_view("images", train.images, train.labels, progress),
        _class_view("texts", train.texts, text_labels, progress),
    )


def _class_view(name: str, features: Features, labels: np.ndarray, progress) -> ClassView:
    rows = labelled(labels)
    shares = labels[rows] / labels[rows].sum(axis=1, keepdims=True)
    # The covariance with the shares holds the classes' sums: E[(x - E x) share^T] = sums / n.
    of = moments(TakenFeatures(features, rows), shares, progress=progress)
    n, total = len(rows), np.trace(of.images)
    if not total > 0:
        raise all_the_same(name)
    deviation = np.sqrt(total)
    sums = n * of.between / deviation
    return ClassView(of.image_mean, deviation, n, n * of.images / total, sums, n * of.text_mean)


def candidates(
    views: tuple[ClassView, ClassView],
    settings: Sequence[dict[str, float]],
    wanted: Sequence[int],
    penalty: np.ndarray | None = None,
    progress=None,
) -> Iterator[tuple[str, Candidate]]:
    """The fits that validation chooses from.

    Args:
        views: Images and texts.
        settings: Of each its `ridge`, and the `consistency` where there is a penalty.
        wanted: Numbers of components, see `selection.of_components`.
        penalty: What is added to S_w, times the consistency, `[d_image + d_text, the same]`.
        progress: Wraps an iterable, as tqdm does.
    """
    from scipy.linalg import block_diag

    sums = np.vstack([view.sums for view in views])
    counts = np.sum([view.counts for view in views], axis=0)
    units = np.concatenate([np.full(len(v.mean), v.rows / len(v.mean)) for v in views])
    for chosen in progress(settings, total=len(settings), desc="fits") if progress else settings:
        total = block_diag(*[view.scatter for view in views])
        total[np.diag_indices_from(total)] += chosen["ridge"] * units
        if penalty is not None:
            total += chosen["consistency"] * penalty
        w = discriminants(total, sums, counts)
        sides = [
            (partial(linear_projection, view.mean), part / view.deviation)
            for view, part in zip(views, np.split(w, [len(views[0].mean)]), strict=True)
        ]
        yield from of_components(Projections(*sides), wanted, chosen)


def discriminants(total: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The W that maximises tr((W^T S W)^-1 W^T S_b W) with W^T S W = I, S = T - S_b.

    S_b = sum_c s_c s_c^T / n_c of centred rows. Its largest quotients with T are squares of the
    singular values of L^-1 [.. s_c / sqrt(n_c) ..] with T = L L^T, and a quotient q with T is
    q / (1 - q) with S.

    Args:
        total: T, `[d, d]`, positive definite; it is overwritten.
        sums: s_c, `[d, classes]`.
        counts: n_c, `[classes]`.

    Returns:
        W, `[d, k]` with k below the number of classes, the best direction first.

    Raises:
        InputError: If S_b is zero.
    """
    from scipy.linalg import cholesky, solve_triangular

    lower, known = cholesky(total, lower=True, overwrite_a=True), counts > 0
    half = solve_triangular(lower, sums[:, known] / np.sqrt(counts[known]), lower=True)
    left, roots, _ = np.linalg.svd(half, full_matrices=False)
    kept = roots > SEPARATES
    if not kept.any():
        raise InputError(
            "`labels` must separate the training images or texts; received labels of "
            f"{np.count_nonzero(known)} class(es) with equal means: give rows of at least two "
            "classes that differ."
        )
    within = np.sqrt(np.maximum(1 - roots[kept] ** 2, np.finfo(float).eps))
    return solve_triangular(lower, left[:, kept] / within, lower=True, trans="T")


SPEC = MethodSpec(
    name="mvda",
    title="Multi-view discriminant analysis",
    source="Kan et al., TPAMI 2016; after inspiros/pcmvda and zb-spec/B2DMvDA",
    setting="supervised",
    config=MvDAConfig,
    fit=fit,
    seen=with_few_labels,
    needs_pairs=False,
    needs_labels=True,
    needs_classes=True,
    search_space={"ridge": RIDGES},
)
