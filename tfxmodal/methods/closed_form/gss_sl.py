"""GSS-SL: generalised semi-supervised structured subspace learning (Zhang et al., TMM 2018).

The paper could not be had, and there is no released code: the objective is our reading of what
others tell of it. One graph of the labels links the linear maps of all modalities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product as combinations

import numpy as np

from tfxmodal.data.pairs import Pairs, labelled
from tfxmodal.errors import check_ranges
from tfxmodal.methods.closed_form.canonical import check_varies
from tfxmodal.methods.closed_form.graphs import label_graph
from tfxmodal.methods.closed_form.row_sparsity import row_sparse_step
from tfxmodal.methods.closed_form.selection import best_on_validation, choices
from tfxmodal.methods.closed_form.standardised import Standardised, product
from tfxmodal.methods.few_labels import FewLabels, check_classes, with_few_labels
from tfxmodal.methods.spec import Fitted, MethodSpec

WEIGHTS = (0.01, 0.1, 1.0, 10.0)
"""Weights that validation chooses from."""

CERTAINTY = 1e6
"""The weight of a label that is given."""

TOLERANCE = 1e-2
"""Relative change of both projections below which the rounds end."""


@dataclass(frozen=True)
class GSSSLConfig(FewLabels):
    """GSS-SL; the letters are those of the objective in `fit`."""

    sparsity: float | None = None
    """lambda_1, the weight of the rows' lengths; by default validation chooses among .01, .1, 1 and
    10."""

    smoothness: float | None = None
    """lambda_2, the weight of the graph in the projections; by default validation chooses among the
    same."""

    label_smoothness: float = 0.1
    """lambda_3, the weight of the graph in the predicted labels (ours: .1). Where all rows have
    labels nothing is predicted, and it changes nothing."""

    rounds: int = 20
    """Rounds of maps, labels and graph at most (ours: 20)."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(
            self,
            sparsity="(0, inf)",
            smoothness="[0, inf)",
            label_smoothness="[0, inf)",
            rounds="[1, inf)",
        )


def fit(
    train: Pairs, validation: Pairs, config: GSSSLConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Fits a projection of each modality onto the labels, predicted ones among them.

    Of images X_1 and texts X_2, each column at mean 0 and variance 1, and labels Y, minimises

        sum_j |X_j U_j - F|^2 + lambda_1 sum_j |U_j|_{2,1} + lambda_2 sum_j tr U_j^T X_j^T L X_j U_j
        + tr (F - Y)^T Q (F - Y) + lambda_3 tr F^T L F

    over U_j `[d_j, classes]` and the labels F `[n, classes]`. Q is diagonal: 1e6 of a row with a
    label, else 0, so that F is Y where Y is known. L is the Laplacian of one graph for both
    modalities (`graphs.label_graph`): rows are as similar as the cosine of their labels, of F where
    Y is not known, its negative numbers taken as 0. A round updates the U_j, which are those of the
    labelled rows at first, then F, both of which lower the objective, and then the graph. Where all
    rows have labels, F is Y and the graph stays.

    A pair is scored by the cosine of X_1 U_1 and X_2 U_2. Validation chooses lambda_1 and lambda_2.

    Args:
        train: Training pairs as features, read in chunks twice a round; a row without a label is a
            row of zeros. Some matrices `[n, classes]` and `[d, d]` are held, and none `[n, n]`,
            since the similarity of the labels has rank `classes`. A round takes
            `O(n d classes + d^3)` time.
        validation: Validation pairs as features.
        config: Hyper-parameters.
        select_by: See `evaluation.protocol.selection_score`.
        seed: Unused: nothing is drawn.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the images, the texts, or the labels that there are, are all the same.
    """
    check_varies(train.images, train.texts)
    check_classes(train.labels)  # Else X_j^T Y is rounding, or U_j has a single direction.
    problem = Problem(train)
    wanted = list(
        combinations(choices(config.sparsity, WEIGHTS), choices(config.smoothness, WEIGHTS))
    )

    def candidates():
        for weights in progress(wanted, total=len(wanted), desc="weights") if progress else wanted:
            chosen = dict(zip(("sparsity", "smoothness"), weights, strict=True))
            maps = problem.solve(replace(config, **chosen))
            networks = {
                f"{kind}_encoder": problem.rows[kind].encoder(u) for kind, u in maps.items()
            }
            name = ", ".join(f"{name} {weight:g}" for name, weight in chosen.items())
            yield name, Fitted(networks, chosen)

    return best_on_validation(candidates(), validation, select_by)


class Problem:
    """What every choice of the weights has in common: sums over the training rows.

    Attributes:
        rows: X_j, by modality.
        labels: Y, `[n, classes]`.

    Args:
        train: Training pairs.
    """

    def __init__(self, train: Pairs):
        self.labels = train.labels.astype(float)
        self._known = self.labels.any(axis=1, keepdims=True)
        self.rows = {"image": Standardised.of(train.images), "text": Standardised.of(train.texts)}
        known = labelled(train.labels)
        self._squares, self._of_labelled, self._of_labels = {}, {}, {}
        for kind, rows in self.rows.items():
            self._squares[kind] = product(rows, rows)
            self._of_labelled[kind] = product(rows, rows, known)
            self._of_labels[kind] = product(rows, self.labels)

    def start(self, config: GSSSLConfig) -> dict[str, np.ndarray]:
        """The U_j of the labelled rows alone, with a ridge in place of the rows' lengths."""
        maps = {}
        for kind, squares in self._of_labelled.items():
            ridge = config.sparsity * np.eye(len(squares))
            maps[kind] = np.linalg.solve(squares + ridge, self._of_labels[kind])
        return maps

    def graph(self, predicted: np.ndarray) -> np.ndarray:
        """The factor of the graph, of the labels that are known and F elsewhere."""
        return label_graph(np.where(self._known, self.labels, np.maximum(predicted, 0)))

    def maps(
        self, predicted: np.ndarray, graph: np.ndarray, before: dict, config: GSSSLConfig
    ) -> dict[str, np.ndarray]:
        """The U_j that lower the objective at F and L."""
        after = {}
        for kind, rows in self.rows.items():
            of_both = product(rows, np.concatenate([predicted, graph], axis=1))
            of_labels, of_graph = np.split(of_both, 2, axis=1)
            rough = self._squares[kind] - of_graph @ of_graph.T
            quadratic = self._squares[kind] + config.smoothness * rough
            after[kind] = row_sparse_step(quadratic, of_labels, config.sparsity, before[kind])
        return after

    def predicted(self, maps: dict, graph: np.ndarray, config: GSSSLConfig) -> np.ndarray:
        """The F that is best at U_j and L: (2 I + Q + lambda_3 L)^-1 (sum_j X_j U_j + Q Y).

        With L = I - G G^T it is a diagonal matrix less one of low rank, by Woodbury's identity.
        """
        weight, certainty = config.label_smoothness, CERTAINTY * self._known
        diagonal = 2 + weight + certainty
        wanted = sum(self.rows[kind].projected(u) for kind, u in maps.items())
        alone = (wanted + certainty * self.labels) / diagonal
        linked = graph / diagonal
        small = np.eye(graph.shape[1]) - weight * (graph.T @ linked)
        return alone + weight * linked @ np.linalg.solve(small, graph.T @ alone)

    def solve(self, config: GSSSLConfig) -> dict[str, np.ndarray]:
        """The U_j after all rounds."""
        maps = self.start(config)
        predicted = self.predicted(maps, np.zeros_like(self.labels), config)
        for _ in range(config.rounds):
            graph, before = self.graph(predicted), maps
            maps = self.maps(predicted, graph, before, config)
            predicted = self.predicted(maps, graph, config)
            if all(_settled(u, before[kind]) for kind, u in maps.items()):
                break
        return maps


def _settled(after: np.ndarray, before: np.ndarray) -> bool:
    return np.linalg.norm(after - before) <= TOLERANCE * np.linalg.norm(before)


SPEC = MethodSpec(
    name="gss_sl",
    title="Generalised semi-supervised structured subspace learning",
    source="Zhang et al., TMM 2018, by our reading",
    setting="semi-supervised",
    config=GSSSLConfig,
    fit=fit,
    seen=with_few_labels,
    needs_labels=True,
    needs_classes=True,
    search_space={"label_smoothness": (0.01, 0.1, 1.0)},
)
