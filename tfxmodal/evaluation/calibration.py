"""From scores to probabilities, so that a search may find nothing.

Of a score s the probability that an image and a text belong together, by Platt's logistic map
(Platt, Probabilistic outputs for support vector machines, 1999), fitted to the validation split:

    P(right | s) = 1 / (1 + exp(-(slope s + intercept)))

Where a contrastive loss is at its least, the log odds of a pair are a line in its score: so the map
has the right form there, with two numbers. It keeps the order of scores.

Right is what the metrics count as right: with labels, a pair that shares a class; else a text of
the image itself. The probability is that of a pair drawn at random among all images and captions of
the split, that is at the split's base rate: of 1,000 images without labels, one in a thousand. In a
gallery where right items are rarer, fewer of what is found at a probability are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.evaluation.metrics import relevance
from tfxmodal.evaluation.results import SplitResults

PAIRS = 2**20
"""Most pairs that the map is fitted to: of more, evenly spaced captions."""


@dataclass(frozen=True)
class Calibration:
    """The map of a run's scores, see the module.

    Attributes:
        slope: Of the log odds; 0 where a higher score is no sign of a right pair.
        intercept: Likewise.
        base_rate: Share of right pairs among those it was fitted to.
        pairs: How many these were.
    """

    slope: float
    intercept: float
    base_rate: float
    pairs: int

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """The probabilities of scores."""
        return 1 / (1 + np.exp(-(self.slope * np.asarray(scores, float) + self.intercept)))

    def score(self, probability: float) -> float:
        """The least score of a probability; infinite where all scores have it, or none.

        Raises:
            InputError: If the probability is not above 0 and below 1.
        """
        if not 0 < probability < 1:
            raise InputError(
                f"`min_probability` must be above 0 and below 1; received {probability}."
            )
        missing = np.log(probability / (1 - probability)) - self.intercept
        if self.slope:
            return float(missing / self.slope)
        return np.inf if missing > 0 else -np.inf


def calibrate(results: SplitResults) -> Calibration | None:
    """The map of a split's scores; None where no pair is right, or none is wrong.

    An image that rows repeat is taken once, as by the metrics.

    Args:
        results: A validation split under the scorer.
    """
    labels = results.source.labels
    captions = results.captions
    images = results.source.once(slice(None))
    if labels is not None:
        images = images[labels[images].any(axis=1)]
        captions = captions.take(labels[captions.pairs].any(axis=1))
    step = max(1, -(-len(images) * len(captions.pairs) // PAIRS))
    captions = captions.take(slice(None, None, step))
    scores = results.scorer.score(results.images[images], captions.embeddings)
    if labels is not None:
        right = relevance(labels[images], labels[captions.pairs])
    else:
        right = np.equal.outer(results.source.owners[images], captions.pairs)
    return fit(scores.ravel(), right.ravel())


def fit(scores: np.ndarray, right: np.ndarray) -> Calibration | None:
    """The logistic map that is likeliest; None where all are right, or none.

    As in Platt's section 2.2, a right pair counts as right by (n+ + 1) / (n+ + 2) and a wrong one
    by 1 / (n- + 2), so that the map stays finite where scores part the pairs.

    Args:
        scores: `[n]`.
        right: `[n]` bool.
    """
    from sklearn.linear_model import LogisticRegression

    positive, negative = np.count_nonzero(right), np.count_nonzero(~right)
    if not positive or not negative:
        return None
    scores = scores.astype(np.float64)
    mean, scale = scores.mean(), scores.std() or 1.0
    share = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    model = LogisticRegression(C=np.inf, solver="newton-cholesky").fit(
        np.tile((scores - mean) / scale, 2)[:, None],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([share, 1 - share]),
    )
    slope, intercept = float(model.coef_[0, 0]) / scale, float(model.intercept_[0])
    base_rate = positive / len(scores)
    if slope <= 0:
        slope, intercept = 0.0, np.log(base_rate / (1 - base_rate))
    return Calibration(slope, float(intercept - slope * mean), base_rate, len(scores))
