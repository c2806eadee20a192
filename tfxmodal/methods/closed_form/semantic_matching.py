"""Semantic matching: the supervised baseline (Rasiwasia et al., ACM MM 2010, section 4.2)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Features, Pairs, labelled
from tfxmodal.errors import check_ranges
from tfxmodal.lazy import keras
from tfxmodal.methods.closed_form.canonical import check_varies
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.few_labels import FewLabels, labelled_features, with_few_labels
from tfxmodal.methods.spec import Fitted, MethodSpec

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths C of the regularisation that validation chooses from."""

ITERATIONS = 100  # of L-BFGS at most; the ranking settles long before the weights do.
CERTAIN = 100.0  # A logit whose probability is 1, and 0 when negative.


@dataclass(frozen=True)
class SemanticMatchingConfig(FewLabels):
    """Semantic matching."""

    strength: float | None = None
    """Inverse strength C of the regularisation; by default validation chooses among .001, .01, .1
    and 1."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self, strength="(0, inf)")


def fit(
    train: Pairs,
    validation: Pairs,
    config: SemanticMatchingConfig,
    select_by="auto",
    seed=0,
    progress=None,
) -> Fitted:
    """Fits a logistic regression in each modality, and chooses C by the validation pairs.

    An image x and a text y, each column scaled to mean 0 and variance 1, are described by the
    probabilities p(class | x) and p(class | y); a pair is scored by the cosine of the two vectors.
    Where no training pair has several classes, the probabilities are a softmax over the classes,
    else a sigmoid for each class. Training pairs without a class are left out.

    Args:
        train: Labelled training pairs as features; a modality at a time is held in memory.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: the problem is convex.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the images, or the texts, that have a class are all the same.
    """
    exclusive = train.exclusive
    sides = {"image": train.labels, "text": train.labels if train.paired else train.text_labels}
    check_varies(*labelled_features(train))
    strengths = choices(config.strength, STRENGTHS)
    models = {
        kind: _classifiers(
            getattr(train, f"{kind}s"), labels, exclusive, strengths, f"{kind} classes", progress
        )
        for kind, labels in sides.items()
    }

    def candidates():
        for row, strength in enumerate(strengths):
            networks = {f"{kind}_encoder": models[kind][row] for kind in sides}
            yield f"C {strength:g}", Fitted(networks, {"strength": strength})

    return best_on_validation(candidates(), validation, select_by)


def _classifiers(
    features: Features, labels: np.ndarray, exclusive: bool, strengths, desc: str, progress
) -> list[keras.Model]:
    """For each C, features `[batch, d]` to class probabilities of unit norm `[batch, classes]`."""
    from tfxmodal.heads.scaling import feature_scaling

    rows = labelled(labels)
    features, labels = features[rows], labels[rows]
    scaling = feature_scaling(features.shape[1], "standard")
    scaling.adapt(features)
    scaled = np.asarray(scaling(features))
    regress = softmax_regression if exclusive else sigmoid_regressions
    models = []
    for strength in progress(strengths, total=len(strengths), desc=desc) if progress else strengths:
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
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # One thread: on problems this small, the threads of BLAS wait for each other most of the time.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(features, targets)
    return model.coef_.T, model.intercept_


SPEC = MethodSpec(
    name="semantic_matching",
    title="Semantic matching: logistic regression in each modality",
    source="Rasiwasia et al., ACM MM 2010, section 4.2",
    setting="supervised",
    for_auto=True,
    config=SemanticMatchingConfig,
    fit=fit,
    seen=with_few_labels,
    needs_pairs=False,
    needs_labels=True,
)
