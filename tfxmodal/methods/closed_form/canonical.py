"""Canonical correlations of two views: the eigenproblem that CCA and its kin share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.errors import InputError
from tfxmodal.heads.linear import linear_projection
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.closed_form.selection import Candidate, Project, Projections, of_components
from tfxmodal.methods.closed_form.standardised import chunks

COMPONENTS = (5, 10, 20, 50, 100, 200)
"""Dimensions of the common space that validation chooses from: with little regularisation few are
the best."""


@dataclass(frozen=True)
class View:
    """Features of one modality, along the axes in which they vary.

    Attributes:
        axes: The principal axes, `[d, r]`.
        variances: Along them, `[r]`, rising.
        unit: What a ridge is relative to: the mean variance of all d features.
        project: Makes the network of some directions `[d, k]`.
    """

    axes: np.ndarray
    variances: np.ndarray
    unit: float
    project: Project


Regularise = Callable[[View], np.ndarray]
"""From a view to the variances `[r]` that are taken for its own."""


@dataclass(frozen=True)
class Views:
    """Images x and texts y of pairs, and between = P_x^T C_xy P_y of their axes P_x, P_y."""

    images: View
    texts: View
    between: np.ndarray

    def first(self, rank: int) -> Views:
        """These views along the `rank` axes of largest variance."""
        images, texts = (
            replace(side, axes=side.axes[:, -rank:], variances=side.variances[-rank:])
            for side in (self.images, self.texts)
        )
        return Views(images, texts, self.between[-rank:, -rank:])

    def projections(self, a: np.ndarray, b: np.ndarray) -> Projections:
        """The projections onto directions of images A and of texts B."""
        return Projections((self.images.project, a), (self.texts.project, b))

    def directions(self, regularise: Regularise, k: int):
        """The k pairs of directions of largest canonical correlation.

        A, B maximise tr(A^T C_xy B) under A^T R_x A = B^T R_y B = I, where R = P diag(v) P^T has
        the axes P of the covariance. With the singular value decomposition
        diag(v_x)^-1/2 P_x^T C_xy P_y diag(v_y)^-1/2 = U diag(rho) V^T they are
        A = P_x diag(v_x)^-1/2 U and B = P_y diag(v_y)^-1/2 V.

        Args:
            regularise: Gives the v of a view.
            k: How many at most; those whose rho is rounding alone are left out.

        Returns:
            A `[d_image, k]`, rho `[k]`, falling, and B `[d_text, k]`.
        """
        whiten = [1 / np.sqrt(regularise(side)) for side in (self.images, self.texts)]
        left, rho, right = top_singular(whiten[0][:, None] * self.between * whiten[1], k)
        a = self.images.axes @ (whiten[0][:, None] * left)
        b = self.texts.axes @ (whiten[1][:, None] * right)
        return a, rho, b


def views_of(train: Pairs, progress=None) -> Views:
    """The views of training pairs, read once in chunks.

    Raises:
        InputError: If the images, or the texts, are all the same.
    """
    of = moments(train.images, train.texts, progress=progress)
    images = principal("images", of.image_mean, of.images, train.images)
    texts = principal("texts", of.text_mean, of.texts, train.texts)
    return Views(images, texts, images.axes.T @ of.between @ texts.axes)


def with_ridge(ridge: float) -> Regularise:
    """Adds a ridge, relative to a view's unit, to its variances."""
    return lambda side: side.variances + ridge * side.unit


def independent_pairs(train: Pairs) -> int:
    """How many training pairs there are without repeats.

    Pairs with the same image or the same text are of one group. Over the pairs, what depends on the
    image alone and what depends on the text alone together span
    `different images + different texts - groups` dimensions: n, where n pairs repeat nothing.

    Args:
        train: Training pairs as features, read in chunks.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images, texts = (_numbered(features) for features in (train.images, train.texts))
    size = images.max() + 1 + texts.max() + 1
    links = coo_array((np.ones(len(images)), (images, images.max() + 1 + texts)), (size, size))
    return int(size - connected_components(links, directed=False, return_labels=False))


def _numbered(features: Features) -> np.ndarray:
    """The number of each row among those that differ, `[n]`, by hashes of 64 bits."""
    numbers: dict[int, int] = {}
    rows = (row for part in chunks(len(features)) for row in np.asarray(features[part]))
    return np.array([numbers.setdefault(hash(row.tobytes()), len(numbers)) for row in rows])


def check_unregularised(views: Views, train: Pairs, name: str):
    """Checks that correlations say something where nothing regularises them.

    The centred rows of n independent pairs span n - 1 dimensions. Images that vary along r of them
    and texts that vary along s meet in r + s - (n - 1), whatever the data are: as many correlations
    are 1.

    Args:
        views: Of the training pairs.
        train: These, read in chunks.
        name: The argument that is 0, for the message.

    Raises:
        InputError: If there are too few pairs.
    """
    r, s, pairs = len(views.images.variances), len(views.texts.variances), independent_pairs(train)
    if r + s > pairs - 1:
        raise InputError(
            f"`{name}` 0 needs {r + s + 1} training pairs without repeats, so that a correlation "
            f"says something, where images vary in {r} dimensions and texts in {s}; received "
            f"{pairs}: raise it, give more pairs, or take cca."
        )


def candidates(
    settings: Sequence[tuple[dict[str, Any], Views, Regularise]],
    wanted: Sequence[int],
    progress=None,
    weightings: Sequence[float] | None = None,
) -> Iterator[tuple[str, Candidate]]:
    """The fits that validation chooses from.

    Args:
        settings: Of each what is chosen by it, the views, and their regularisation.
        wanted: Numbers of components, see `selection.of_components`.
        progress: Wraps an iterable, as tqdm does.
        weightings: Powers of the correlations by which directions are multiplied, a further choice;
            by default they count alike.
    """
    bar = progress(settings, total=len(settings), desc="fits") if progress else settings
    for chosen, views, regularise in bar:
        a, rho, b = views.directions(regularise, max(wanted))
        projections = views.projections(a, b)
        if weightings is None:
            yield from of_components(projections, wanted, chosen)
        for power in weightings or ():
            yield from of_components(projections, wanted, chosen | {"weighting": power}, rho**power)


def principal(
    name: str, mean: np.ndarray, covariance: np.ndarray, rows: Features | None = None
) -> View:
    """The principal axes of features; those to which rounding alone gives a variance are left out.

    With fewer rows than columns they are found from the products of the rows, which are smaller.

    Args:
        name: Of the features, for messages.
        mean: `[d]`.
        covariance: `[d, d]`.
        rows: `[n, d]`, where they can be read again.

    Raises:
        InputError: If all rows are the same.
    """
    d = len(covariance)
    if not np.trace(covariance) > 0:
        raise all_the_same(name)
    if rows is not None and len(rows) < d:
        centred = np.asarray(rows[:], np.float64) - mean
        variances, sides = np.linalg.eigh(centred @ centred.T / len(rows))
        axes = centred.T @ sides
    else:
        variances, axes = np.linalg.eigh(covariance)
    kept = variances > np.finfo(float).eps * d * variances.max()
    variances, axes = variances[kept], axes[:, kept]
    axes /= np.linalg.norm(axes, axis=0)  # Those found from the rows are of other lengths.
    return View(axes, variances, np.trace(covariance) / d, partial(linear_projection, mean))


def all_the_same(name: str) -> InputError:
    """That nothing can be learned from features without any variance."""
    return InputError(
        f"`{name}` must differ from training row to training row; received features that are all "
        "the same: give features that tell the rows apart."
    )


def check_varies(images: Features, texts: Features):
    """Checks that features are not all the same, by as many rows as it takes.

    Args:
        images: `[n, d_image]`, read in chunks.
        texts: `[m, d_text]`, likewise.

    Raises:
        InputError: If the images, or the texts, are.
    """
    for name, features in (("images", images), ("texts", texts)):
        first = np.asarray(features[:1])
        if all((np.asarray(features[part]) == first).all() for part in chunks(len(features))):
            raise all_the_same(name)


def top_singular(matrix: np.ndarray, k: int):
    """The k largest singular values and their vectors: `[p, k]`, `[k]`, `[q, k]`.

    By the eigenvectors of the smaller Gram matrix: top values of a covariance's size are exact to
    rounding, and the largest networks of the field take seconds instead of minutes. Values of about
    1e-6 of the largest and below are rounding there, and are left out.
    """
    from scipy.linalg import eigh

    if matrix.shape[0] < matrix.shape[1]:
        right, values, left = top_singular(matrix.T, k)
        return left, values, right
    q = matrix.shape[1]
    squares, right = eigh(matrix.T @ matrix, subset_by_index=[max(0, q - k), q - 1])
    squares, right = squares[::-1], right[:, ::-1]
    kept = squares > np.finfo(float).eps * q * squares[0]
    values, right = np.sqrt(squares[kept]), right[:, kept]
    largest = np.abs(right).argmax(axis=0)  # Positive: else the signs would be those of rounding.
    right = right * np.sign(right[largest, range(right.shape[1])])
    return matrix @ right / values, values, right
