"""First and second moments of paired features, accumulated in chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.methods.closed_form.standardised import chunks


@dataclass(frozen=True)
class Moments:
    """Means and covariances of images x and texts y, float64.

    Attributes:
        image_mean: E x, `[d_image]`.
        text_mean: E y, `[d_text]`.
        between: C_xy = E[(x - E x)(y - E y)^T], `[d_image, d_text]`.
        images: C_xx, `[d_image, d_image]`, or None where it was not asked for.
        texts: C_yy, `[d_text, d_text]`, likewise.
    """

    image_mean: np.ndarray
    text_mean: np.ndarray
    between: np.ndarray
    images: np.ndarray | None = None
    texts: np.ndarray | None = None


def moments(images: Features, texts: Features, within: bool = True, progress=None) -> Moments:
    """The moments of pairs, read once; memory is that of the covariances and of a chunk.

    Sums are of differences from the first row, so that large means do not drown small deviations.

    Args:
        images: `[n, d_image]`.
        texts: `[n, d_text]`, row by row with the images.
        within: Whether to compute the covariances within each modality too.
        progress: Wraps an iterable, as tqdm does.
    """
    n = len(images)
    origins = [np.asarray(rows[:1], np.float64) for rows in (images, texts)]
    sums = [np.zeros(origin.shape[1]) for origin in origins]
    sides = ((0, 1), (0, 0), (1, 1)) if within else ((0, 1),)
    products = [np.zeros((len(sums[a]), len(sums[b]))) for a, b in sides]
    parts = chunks(n)
    for part in progress(parts, total=len(parts), desc="covariances") if progress else parts:
        both = [
            np.asarray(rows[part], np.float64) - origin
            for rows, origin in zip((images, texts), origins, strict=True)
        ]
        for total, rows in zip(sums, both, strict=True):
            total += rows.sum(axis=0)
        for product, (a, b) in zip(products, sides, strict=True):
            product += both[a].T @ both[b]
    shifts = [total / n for total in sums]
    covariances = [
        product / n - np.outer(shifts[a], shifts[b])
        for product, (a, b) in zip(products, sides, strict=True)
    ]
    means = [origin[0] + shift for origin, shift in zip(origins, shifts, strict=True)]
    return Moments(*means, *covariances)
