"""PLS, partial least squares: the linear baseline, in closed form (SCL, reference [5])."""

from __future__ import annotations

import numpy as np
from sklearn.utils.extmath import randomized_svd

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.evaluation.protocol import best_on_validation
from tfxmodal.lazy import keras
from tfxmodal.retrieval.cosine import CosineScorer

COMPONENTS = (10, 20, 50, 100, 200)
"""Dimensions of the common space that validation chooses from."""


def fit(train: Pairs, validation: Pairs, seed: int = 0, progress=None) -> CosineScorer:
    """Fits PLS, and chooses its number of components by the validation pairs.

    The directions u_i, v_i of images x and texts y are the first singular vectors of the
    cross-covariance C = E[(x - E x)(y - E y)^T]: those along which both vary together most. A pair
    is scored by the cosine of its projections U^T (x - E x) and V^T (y - E y).

    Args:
        train: Training pairs as features, read once in chunks; C takes `8 d_image d_text` bytes.
        validation: Validation pairs as features.
        seed: Of the randomised SVD, whose error is far below the embeddings' float32.
        progress: Wraps an iterable, as tqdm does.
    """
    train.check_paired("pls")
    mean_x, mean_y, covariance = cross_covariance(train.images, train.texts, progress=progress)
    most = min(COMPONENTS[-1], *covariance.shape)
    left, _, right = randomized_svd(covariance, most, n_iter=10, random_state=seed)
    candidates = [
        CosineScorer(_projection(mean_x, left[:, :k]), _projection(mean_y, right[:k].T))
        for k in sorted({min(k, most) for k in COMPONENTS})
    ]
    return best_on_validation(candidates, validation)


def cross_covariance(images: Features, texts: Features, chunk: int = 2048, progress=None):
    """Means `[d_image]`, `[d_text]` and cross-covariance `[d_image, d_text]`, all float64.

    Args:
        images: `[n, d_image]`.
        texts: `[n, d_text]`, row by row with the images.
        chunk: Rows held at a time.
        progress: Wraps an iterable, as tqdm does.
    """
    n = len(images)
    sum_x, sum_y = np.zeros(images.shape[1]), np.zeros(texts.shape[1])
    products = np.zeros((images.shape[1], texts.shape[1]))
    starts = range(0, n, chunk)
    for start in progress(starts, total=len(starts), desc="PLS") if progress else starts:
        x = np.asarray(images[start : start + chunk], np.float64)
        y = np.asarray(texts[start : start + chunk], np.float64)
        sum_x += x.sum(axis=0)
        sum_y += y.sum(axis=0)
        products += x.T @ y
    mean_x, mean_y = sum_x / n, sum_y / n
    return mean_x, mean_y, products / n - np.outer(mean_x, mean_y)


def _projection(mean: np.ndarray, directions: np.ndarray) -> keras.Model:
    """Features `[batch, d]` to unit vectors `[batch, k]`."""
    features = keras.Input([len(mean)], name="features")
    centre = keras.layers.Normalization(mean=mean, variance=np.ones_like(mean), dtype="float32")
    project = keras.layers.Dense(directions.shape[1], use_bias=False, dtype="float32")
    unit = keras.layers.UnitNormalization(dtype="float32")(project(centre(features)))
    project.set_weights([directions])
    return keras.Model(features, unit)
