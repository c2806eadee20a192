"""JRL: joint representation learning (Zhai, Peng, Xiao, TCSVT 2014).

The paper could not be had: this is our reading of the released code (PKU-ICST-MIPL/JRL_TCSVT2014).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tfxmodal.data.databases import JoinedFeatures
from tfxmodal.data.pairs import Features, Pairs, labelled
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.lazy import keras
from tfxmodal.methods.closed_form.canonical import check_varies
from tfxmodal.methods.closed_form.graphs import roughness
from tfxmodal.methods.closed_form.row_sparsity import row_lengths, row_sparse_step
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.closed_form.standardised import Standardised, product
from tfxmodal.methods.few_labels import FewLabels, check_classes, with_few_labels
from tfxmodal.methods.spec import Fitted, MethodSpec

SIMILARITIES = ("posterior", "cosine")
"""What can score a pair, see `fit`."""

TOLERANCE = 0.02
"""Share of the objective that an iteration must take off, or it is the last (released code)."""


@dataclass(frozen=True)
class JRLConfig(FewLabels):
    """JRL; the letters are those of the objective in `fit`."""

    sparsity: float = 1000.0
    """gamma, the weight of the rows' lengths (released code: 1000)."""

    smoothness: float = 1000.0
    """sigma, the weight of the graphs (released code: 1000)."""

    correlation: float = 1.0
    """lambda, the weight of the distance between an image and its text (released code: 1)."""

    prediction: float = 1.0
    """mu, the weight of the distance to the labels (released code: 1)."""

    neighbours: int = 100
    """Nearest neighbours, in the graphs and of the class posteriors (released code: 100)."""

    iterations: int = 5
    """Updates of both projections at most (released code: 5)."""

    similarity: Literal["posterior", "cosine"] | None = None
    """What scores a pair: the product of class posteriors (released code), or the cosine of the
    projections; by default validation chooses, and with `as_released` it is the posteriors."""

    as_released: bool = False
    """Do what the released code does otherwise: graphs that hold the test rows, too, without their
    labels, and whose degrees are not those of their edges; both projections updated from those
    before, and the projections before the last update, so that there must be two at least."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(
            self,
            sparsity="(0, inf)",
            smoothness="[0, inf)",
            correlation="[0, inf)",
            prediction="(0, inf)",
            neighbours="[1, inf)",
            iterations="[2, inf)" if self.as_released else "[1, inf)",
        )


def fit(
    train: Pairs,
    validation: Pairs,
    config: JRLConfig,
    select_by="auto",
    seed=0,
    progress=None,
    test: tuple[Features, Features] | None = None,
) -> Fitted:
    """Fits a projection of each modality onto the classes, and how projections are compared.

    Of images X and texts T, each column at mean 0 and variance 1, and labels Y, minimises

        lambda |X P - T Q|^2 + mu (|X_l P - Y|^2 + |T_l Q - Y|^2)
        + gamma (|P|_{2,1} + |Q|_{2,1}) + sigma (tr P^T X^T L_X X P + tr Q^T T^T L_T T Q)

    over P `[d_image, classes]` and Q `[d_text, classes]`. X_l, T_l are the labelled rows; all
    training pairs are in the first term and in the graphs (`graphs.roughness`). P and then Q are
    updated (`row_sparsity.row_sparse_step`), each of which lowers the objective.

    A pair is scored by the product of class posteriors (`heads.class_posterior`), which are those
    of the nearest labelled projections of both modalities, or by the cosine of X P and T Q. `tried`
    has the validation score of those that validation chose from, and `Fitted.other_scorers` gives
    the one that was not chosen.

    The released code differs. Its graphs hold the test rows, too, so that it is transductive: what
    it reaches on them is not what it reaches on new ones. Its degrees are those of the neighbours,
    its edges join all rows, with sigmoid(-distance) as weight, which is about e^-90 at 4,096
    dimensions, so that L is about I. It updates Q from the P before, which may raise the objective,
    and projects before its last update. It scores by the posteriors. `as_released` does all this.

    At the released weights the minimum is almost P = Q = 0. On Wikipedia's training rows (seed 0)
    the objective of zero is 4346.0. The tolerance ends the updates after three, at 4347.5, with
    rows of X P and T Q of median length 1.2e-4 and 1.2e-3; sixty updates reach 4345.97, with 1.9e-8
    and 1.8e-4. So the early stop keeps the projections that are compared from zero. With gamma = 1
    and sigma = 30 they stay: three updates reach 4241.7, sixty 4241.4, and at both the lengths are
    .017 and .058.

    Args:
        train: Training pairs as features, a row without a label is a row of zeros. A modality at a
            time is held in memory, twice, for its graph, whose time is `O(n^2 d)`; else rows are
            read in chunks. A few matrices `[d, d]` are held, and an iteration is `O(d^3)`.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Of the random start.
        progress: Wraps an iterable, as tqdm does.
        test: Features of the test images and texts, which the graphs of `as_released` hold, too.

    Raises:
        InputError: If the images, the texts, or the labels that there are, are all the same, or
            `as_released` has no test rows.
    """
    if config.as_released and not (test and len(test[0]) and len(test[1])):
        raise InputError(
            "`as_released` puts the features of the test pairs into the graphs of jrl; received no "
            "test pairs: give some, or leave it out."
        )
    check_varies(train.images, train.texts)
    check_classes(train.labels)  # Else X^T Y is rounding, or P has a single direction.
    problem = Problem(train, config, progress, test if config.as_released else None)
    projections = problem.solve(seed)
    networks = {name: problem.encoders(projections, name) for name in SIMILARITIES}
    given = config.similarity or ("posterior" if config.as_released else None)

    def fitted(name: str) -> Fitted:
        (other,) = networks.keys() - {name}
        beside = {f"{kind}_{other}": networks[other][f"{kind}_encoder"] for kind in problem.rows}
        return Fitted(networks[name] | beside, {"similarity": name})

    candidates = ((name, fitted(name)) for name in choices(given, SIMILARITIES))
    return best_on_validation(candidates, validation, select_by)


class Problem:
    """The objective as a function of both projections: the rows enter it by sums over them.

    Args:
        train: Training pairs.
        config: Hyper-parameters.
        progress: Wraps an iterable, as tqdm does.
        test: Features of images and texts that are in the graphs alone.
    """

    def __init__(
        self,
        train: Pairs,
        config: JRLConfig,
        progress=None,
        test: tuple[Features, Features] | None = None,
    ):
        self._config = config
        self._labels, self._known = train.labels, labelled(train.labels)
        self.rows = {"image": Standardised.of(train.images), "text": Standardised.of(train.texts)}
        self._quadratic, self._linear = {}, {}
        for side, (kind, rows) in enumerate(self.rows.items()):
            joined = rows
            if test is not None:
                joined = replace(rows, features=JoinedFeatures([rows.features, test[side]]))
            rough = roughness(
                joined, config.neighbours, config.as_released, progress, f"{kind} neighbours"
            )
            self._quadratic[kind] = (
                config.correlation * product(rows, rows)
                + config.prediction * product(rows, rows, self._known)
                + config.smoothness * rough
            )
            self._linear[kind] = config.prediction * product(rows, self._labels)
        self._between = config.correlation * product(self.rows["image"], self.rows["text"])

    def objective(self, projections: dict[str, np.ndarray]) -> float:
        """The objective of P, as `image`, and Q, as `text`."""
        value = 2 * self._config.prediction * np.sum(np.square(self._labels, dtype=float))
        for kind, p in projections.items():
            value += np.sum(p * (self._quadratic[kind] @ p - 2 * self._linear[kind]))
            value += self._config.sparsity * row_lengths(p).sum()
        return value - 2 * np.sum(projections["image"] * (self._between @ projections["text"]))

    def updated(self, projections: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Both projections after an update."""
        after = dict(projections)
        for kind, other, between in (
            ("image", "text", self._between),
            ("text", "image", self._between.T),
        ):
            against = projections if self._config.as_released else after
            linear = self._linear[kind] + between @ against[other]
            after[kind] = row_sparse_step(
                self._quadratic[kind], linear, self._config.sparsity, projections[kind]
            )
        return after

    def solve(self, seed: int) -> dict[str, np.ndarray]:
        """Both projections from the released code's start, uniform in [0, 1) and alike for both."""
        projections = {
            kind: np.random.default_rng(seed).random(linear.shape)
            for kind, linear in self._linear.items()
        }
        value = self.objective(projections)
        for _ in range(self._config.iterations):
            last, before = projections, value
            projections = self.updated(last)
            value = self.objective(projections)
            if before - value < TOLERANCE * before:
                break
        return last if self._config.as_released else projections

    def encoders(
        self, projections: dict[str, np.ndarray], similarity: str
    ) -> dict[str, keras.Model]:
        """Networks from features to unit vectors that are compared by `similarity`."""
        from tfxmodal.heads.class_posterior import posterior_encoders

        networks = {
            f"{kind}_encoder": self.rows[kind].encoder(p) for kind, p in projections.items()
        }
        if similarity == "cosine":
            return networks
        labels = self._labels[self._known]
        places = [self.rows[kind].projected(p)[self._known] for kind, p in projections.items()]
        classes = labels / labels.sum(axis=1, keepdims=True)
        return posterior_encoders(
            networks,
            np.concatenate(places),
            np.concatenate([classes, classes]),
            self._config.neighbours,
        )


SPEC = MethodSpec(
    name="jrl",
    title="Joint representation learning with sparse and semi-supervised regularisation",
    source="Zhai, Peng, Xiao, TCSVT 2014, by its released code",
    setting="semi-supervised",
    config=JRLConfig,
    fit=fit,
    transductive=lambda config: config.as_released,
    seen=with_few_labels,
    needs_labels=True,
    needs_classes=True,
    search_space={
        "sparsity": (1.0, 30.0, 1000.0),
        "smoothness": (1.0, 30.0, 1000.0),
        "correlation": (0.1, 1.0, 10.0),
        "neighbours": (10, 100),
    },
)
