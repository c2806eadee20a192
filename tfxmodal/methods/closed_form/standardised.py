"""Features at mean 0 and variance 1, and sums of products over their rows, read in chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Features
from tfxmodal.heads.linear import linear_projection
from tfxmodal.lazy import keras

CHUNK = 2048
"""Rows held at a time."""


@dataclass(frozen=True)
class Standardised:
    """Rows `(x - mean) * scale` of features, computed where they are read.

    Attributes:
        features: x, `[n, d]`.
        mean: `[d]`.
        scale: `[d]`; 0 of a column that is constant.
    """

    features: Features
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, features: Features) -> Standardised:
        """Each column scaled to mean 0 and variance 1."""
        from tfxmodal.heads.scaling import feature_scaling

        scaling = feature_scaling(features.shape[1], "standard")
        scaling.adapt(features)
        return cls(features, *map(keras.ops.convert_to_numpy, (scaling.mean, scaling.scale)))

    @property
    def shape(self) -> tuple[int, int]:
        """`[n, d]`."""
        return self.features.shape

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows) -> np.ndarray:
        return (np.asarray(self.features[rows], np.float64) - self.mean) * self.scale

    def in_memory(self) -> np.ndarray:
        """All rows, `[n, d]` float32."""
        held = np.empty(self.shape, np.float32)
        for part in chunks(len(self)):
            held[part] = self[part]
        return held

    def projected(self, directions: np.ndarray) -> np.ndarray:
        """All rows by directions `[d, k]`: `[n, k]` float64."""
        return np.concatenate([self[part] @ directions for part in chunks(len(self))])

    def encoder(self, directions: np.ndarray) -> keras.Model:
        """From features x to the unit vectors of `(x - mean) * scale @ directions`."""
        return linear_projection(self.mean, self.scale[:, None] * directions)


def chunks(n: int) -> list[slice]:
    """The rows 0 to n - 1 in parts of `CHUNK`."""
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


def product(left: Features, right: Features, rows=None) -> np.ndarray:
    """The sum over rows of left^T right, `[d_left, d_right]` float64.

    Args:
        left: `[n, d_left]`.
        right: `[n, d_right]`.
        rows: Which rows, as indices; all by default.
    """
    total = np.zeros((left.shape[1], right.shape[1]))
    for part in chunks(len(left) if rows is None else len(rows)):
        taken = part if rows is None else rows[part]
        a = np.asarray(left[taken], np.float64)
        b = a if right is left else np.asarray(right[taken], np.float64)
        total += a.T @ b
    return total
