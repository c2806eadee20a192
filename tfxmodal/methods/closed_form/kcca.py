"""KCCA, kernel canonical correlation analysis, exact or by Nystroem's approximation.

Hardoon, Szedmak and Shawe-Taylor, "Canonical correlation analysis: an overview with application to
learning methods", Neural Computation 2004; Williams and Seeger, "Using the Nystroem method to speed
up kernel machines", NIPS 2000. Neither paper could be had: this is our reading of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.methods.closed_form.canonical import (
    COMPONENTS,
    View,
    Views,
    all_the_same,
    candidates,
    principal,
    with_ridge,
)
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.spec import Fitted, MethodSpec

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Ridges that validation chooses from, relative to the variance in the kernel's space."""

EXACT, NYSTROEM = 8_000, 2_000
"""Up to how many training rows all are landmarks by default, and how many are where there are more.
"""

JITTER = 1e-8  # Relative to the mean of the landmarks' k(l, l), so that repeated ones do no harm.
MATRICES = 12  # Of landmarks x landmarks float64, held at the same time.
MEASURED = 1_000  # Landmarks whose distances give the bandwidth.

CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux tells how much memory a container may use, by cgroup v2 and v1."""


@dataclass(frozen=True)
class KCCAConfig:
    """KCCA."""

    kernel: Literal["rbf", "linear"] = "rbf"
    """The Gaussian kernel, or the linear one, with which this is ridge_cca."""

    bandwidth: float = 1.0
    """Width of the Gaussian kernel exp(-(|x - l| / width)^2), relative to the median distance of
    two different training rows; of `rbf` alone."""

    landmarks: int | None = None
    """Training rows that a row is compared with. All of them make the method exact; fewer are drawn
    at random (Nystroem). By default all up to 8,000, and 2,000 where there are more."""

    ridge: float | None = None
    """What is added to the variances, relative to their sum in the kernel's space; by default
    validation chooses among .000001, .00001 and so on to .1. Too small a one makes every
    correlation 1, which says nothing."""

    components: int | None = None
    """Dimensions of the common space; by default validation chooses among 5, 10, 20, 50, 100 and
    200."""

    def __post_init__(self):
        check_ranges(
            self,
            bandwidth="(0, inf)",
            landmarks="[2, inf)",
            ridge="(0, inf)",
            components="[1, inf)",
        )


def fit(
    train: Pairs, validation: Pairs, config: KCCAConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits KCCA for each ridge, and chooses ridge and components by the validation pairs.

    The functions sum_i alpha_i k(x_i, x) and sum_i beta_i k(y_i, y) maximise alpha^T K_x K_y beta
    under alpha^T (K_x^2 + kappa_x K_x) alpha = beta^T (K_y^2 + kappa_y K_y) beta = 1; K are the
    centred kernel matrices of n rows, and kappa = n * ridge * the variance tr(K) / n.

    It is solved as ridge CCA of the features phi(x) = L^-1 k(x), where k(x) are the kernel values
    of x and the m landmarks, and L L^T those among the landmarks (Nystroem). With all n rows as
    landmarks phi(x)^T phi(x') = k(x, x') on them, so that this is KCCA itself. Training mean and
    covariance of k(x) are accumulated in chunks, so that new rows are centred as the training rows
    are. cca_zoo does not centre all kernel matrices that it uses; we do.

    Args:
        train: Training pairs as features, read in chunks. Time is `n m (d + m) + m^3`, memory some
            `100 m^2` bytes: 6.4 GB for the 8,000 rows that are still exact, .4 GB with 2,000
            landmarks, whatever n is.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Of the landmarks' choice.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the matrices do not fit in memory, or all rows are the same.
    """
    n, m = len(train), landmarks_of(config, len(train))
    check_memory(m)
    chosen = np.sort(np.random.default_rng(seed).choice(n, m, replace=False))
    images = KernelRows("images", train.images, chosen, config)
    texts = KernelRows("texts", train.texts, chosen, config)
    of = moments(images, texts, progress=progress)
    sides = images.view(of.image_mean, of.images), texts.view(of.text_mean, of.texts)
    views = Views(*sides, sides[0].axes.T @ of.between @ sides[1].axes)
    settings = [
        ({"ridge": ridge}, views, with_ridge(ridge)) for ridge in choices(config.ridge, RIDGES)
    ]
    found = candidates(settings, choices(config.components, COMPONENTS), progress)
    return best_on_validation(found, validation, select_by)


def landmarks_of(config: KCCAConfig, pairs: int) -> int:
    """How many of the training pairs are landmarks."""
    return min(pairs, config.landmarks or (pairs if pairs <= EXACT else NYSTROEM))


def refit(config: KCCAConfig, first: int, second: int) -> KCCAConfig:
    """The config of a second fit, which is exact where the first is.

    Args:
        config: Of the first fit.
        first: Its training pairs.
        second: Those of the second fit.

    Raises:
        InputError: If the matrices of the second fit do not fit in memory.
    """
    exact = landmarks_of(config, first) == first
    again = replace(config, landmarks=second) if exact else config
    check_memory(landmarks_of(again, second), " for the second fit (`refit`)")
    return again


def check_memory(landmarks: int, of: str = ""):
    """Checks that the process may hold the matrices of some landmarks.

    Args:
        landmarks: How many.
        of: Which fit, for the message.

    Raises:
        InputError: If not.
    """
    needed, memory = MATRICES * 8 * landmarks**2, usable_memory()
    if needed > memory:
        raise InputError(
            f"`landmarks` must leave room for kernel matrices; received {landmarks:,}{of}, which "
            f"need {needed / 1e9:.1f} GB of the {memory / 1e9:.1f} GB that this process may use: "
            "give fewer (Nystroem's approximation)."
        )


def usable_memory() -> int:
    """The memory of the machine in bytes, or of its container where that is to have less."""
    limits = [path.read_text().strip() for path in CONTAINER_LIMITS if path.exists()]
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(int(limit) for limit in limits if limit != "max")])


class KernelRows:
    """Kernel values `[n, m]` of features and m of their rows, computed when they are asked for.

    Args:
        name: Of the features, for messages.
        features: `[n, d]`.
        chosen: Row numbers of the landmarks, `[m]`.
        config: The kernel.

    Raises:
        InputError: If the landmarks are all the same.
    """

    def __init__(self, name: str, features: Features, chosen: np.ndarray, config: KCCAConfig):
        self._name, self._features, self._metric = name, features, config.kernel
        landmarks = np.asarray(features[chosen], np.float64)
        different = np.unique(landmarks, axis=0)
        if len(different) == 1:
            raise all_the_same(name)
        self._gamma = None
        if config.kernel == "rbf":
            from scipy.spatial.distance import pdist

            distances = pdist(different[:: -(-len(different) // MEASURED)])
            self._gamma = float((config.bandwidth * np.median(distances)) ** -2)
        # Both kernels mean the same from any origin, and differences from a near one are exact.
        self._centre = landmarks.mean(axis=0)
        self._landmarks = landmarks - self._centre
        self.shape = (len(features), len(chosen))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        return self._kernel(np.asarray(self._features[rows], np.float64) - self._centre)

    def view(self, mean: np.ndarray, covariance: np.ndarray) -> View:
        """The view of phi(x), as directions of the kernel values.

        Args:
            mean: Of the kernel values over all rows, `[m]`.
            covariance: `[m, m]`.
        """
        from scipy.linalg import cholesky, solve_triangular

        from tfxmodal.heads.kernel import kernel_projection

        products = self._kernel(self._landmarks)
        products[np.diag_indices_from(products)] += JITTER * np.trace(products) / len(products)
        lower = cholesky(products, lower=True, overwrite_a=True)
        half = solve_triangular(lower, covariance, lower=True)
        covariance = solve_triangular(lower, half.T, lower=True)
        view = principal(self._name, mean, covariance)
        return replace(
            view,
            axes=solve_triangular(lower, view.axes, lower=True, trans="T"),
            unit=np.trace(covariance),
            project=partial(kernel_projection, self._centre, self._landmarks, self._gamma, mean),
        )

    def _kernel(self, rows: np.ndarray) -> np.ndarray:
        from sklearn.metrics.pairwise import pairwise_kernels

        given = {} if self._gamma is None else {"gamma": self._gamma}
        return pairwise_kernels(rows, self._landmarks, metric=self._metric, **given)


SPEC = MethodSpec(
    name="kcca",
    title="Kernel canonical correlation analysis",
    source="Hardoon et al. 2004; Williams and Seeger 2000 (Nystroem); cca_zoo, _kcca.py",
    setting="unsupervised",
    config=KCCAConfig,
    fit=fit,
    refit=refit,
    search_space={"kernel": ("rbf", "linear"), "bandwidth": (0.5, 1.0, 2.0)},
)
