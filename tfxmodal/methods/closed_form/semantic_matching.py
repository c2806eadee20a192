"""Semantic matching: the supervised baseline (Rasiwasia et al., ACM MM 2010, section 4.2)."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import best_on_validation
from tfxmodal.heads.scaling import feature_scaling
from tfxmodal.lazy import keras
from tfxmodal.retrieval.cosine import CosineScorer

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths C of the regularisation that validation chooses from."""

ITERATIONS = 100  # of L-BFGS at most; the ranking settles long before the weights do.
CERTAIN = 100.0  # A logit whose probability is 1, and 0 when negative.


def fit(train: Pairs, validation: Pairs, seed: int = 0, progress=None) -> CosineScorer:
    """Fits a logistic regression in each modality, and chooses C by the validation pairs.

    An image x and a text y, each column scaled to mean 0 and variance 1, are described by the
    probabilities p(class | x) and p(class | y); a pair is scored by the cosine of the two vectors.
    Where no training pair has several classes, the probabilities are a softmax over the classes,
    else a sigmoid for each class. Training pairs without a class are left out.

    Args:
        train: Labelled training pairs as features; a modality at a time is held in memory.
        validation: Validation pairs as features.
        seed: Unused: the problem is convex.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If no training pair has a label.
    """
    sides = {"images": train.labels, "texts": train.labels if train.paired else train.text_labels}
    if any(labels is None or not labels.any() for labels in sides.values()):
        raise InputError(
            "semantic_matching learns from labels; received training pairs without any: add labels "
            "or take a method that needs none (pls, random, or scl with --labelled-fraction 0)."
        )
    exclusive = all((labels.sum(axis=1) <= 1).all() for labels in sides.values())
    models = [
        _classifiers(getattr(train, kind), labels, exclusive, f"classifying {kind}", progress)
        for kind, labels in sides.items()
    ]
    return best_on_validation(map(CosineScorer, *models), validation)


def _classifiers(
    features: Features, labels: np.ndarray, exclusive: bool, desc: str, progress
) -> list[keras.Model]:
    """For each C, features `[batch, d]` to class probabilities of unit norm `[batch, classes]`."""
    labelled = np.flatnonzero(labels.any(axis=1))
    features, labels = features[labelled], labels[labelled]
    scaling = feature_scaling(features, "standard")
    scaled = np.asarray(scaling(features))
    regress = softmax_regression if exclusive else sigmoid_regressions
    models = []
    for strength in progress(STRENGTHS, total=len(STRENGTHS), desc=desc) if progress else STRENGTHS:
        inputs = keras.Input([features.shape[1]], name="features")
        classify = keras.layers.Dense(
            labels.shape[1], "softmax" if exclusive else "sigmoid", dtype="float32"
        )
        unit = keras.layers.UnitNormalization(dtype="float32")(classify(scaling(inputs)))
        classify.set_weights(regress(scaled, labels, strength))
        models.append(keras.Model(inputs, unit))
    return models


def softmax_regression(features: np.ndarray, labels: np.ndarray, strength: float):
    """Weights `[d, classes]` and bias `[classes]` of one regression over classes that exclude.

    A class without a pair gets the probability 0.

    Args:
        features: `[n, d]`.
        labels: One-hot `[n, classes]`.
        strength: Inverse strength C of the regularisation.
    """
    classes = np.flatnonzero(labels.any(axis=0))
    kernel = np.zeros((features.shape[1], labels.shape[1]), np.float32)
    bias = np.full(labels.shape[1], -CERTAIN, np.float32)
    bias[classes] = 0
    if len(classes) > 1:
        # Of two classes scikit-learn gives the second's logit, the first's being 0.
        found = classes if len(classes) > 2 else classes[1:]
        kernel[:, found], bias[found] = _regress(features, labels.argmax(axis=1), strength)
    return kernel, bias


def sigmoid_regressions(features: np.ndarray, labels: np.ndarray, strength: float):
    """Weights `[d, classes]` and bias `[classes]` of a regression for each class by itself.

    A class of no pair, or of all, gets the probability 0, or 1.

    Args:
        features: `[n, d]`.
        labels: Multi-hot `[n, classes]`.
        strength: Inverse strength C of the regularisation.
    """
    kernel = np.zeros((features.shape[1], labels.shape[1]), np.float32)
    bias = np.where(labels.all(axis=0), CERTAIN, -CERTAIN).astype(np.float32)
    for column in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        weights, bias[[column]] = _regress(features, labels[:, column], strength)
        kernel[:, [column]] = weights
    return kernel, bias


def _regress(features: np.ndarray, targets: np.ndarray, strength: float):
    # One thread: on problems this small, the threads of BLAS wait for each other most of the time.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(features, targets)
    return model.coef_.T, model.intercept_
