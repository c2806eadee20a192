"""The choice of hyper-parameters by the validation pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation.protocol import embed_pairs, evaluate_pairs, selection_score
from tfxmodal.lazy import keras
from tfxmodal.methods.spec import Fitted
from tfxmodal.retrieval.cosine import GivenVectors

COMPONENTS = (10, 20, 50, 100, 200)
"""Dimensions of the common space that validation chooses from."""

Project = Callable[[np.ndarray], "keras.Model"]
"""From directions `[d, k]` to the network that projects features onto them."""


def choices(given, grid: Sequence) -> Sequence:
    """The value that a config gives, alone, or the grid where it gives none."""
    return grid if given is None else (given,)


class Projections:
    """What one fit projects images and texts onto, of which candidates take the first directions.

    Args:
        images: What makes a network of directions, and these, `[d_image, most]`, the best first.
        texts: The same of texts, `[d_text, most]`.
    """

    def __init__(self, images: tuple[Project, np.ndarray], texts: tuple[Project, np.ndarray]):
        self._sides = {"image_encoder": images, "text_encoder": texts}
        self.most = min(directions.shape[1] for _, directions in self._sides.values())
        self._embedded: tuple[Pairs, Pairs] | None = None

    def fitted(self, weights: np.ndarray, chosen: Mapping[str, Any]) -> Fitted:
        """The fit with the first k directions, each times its weight `[k]`."""
        networks = {
            name: project(directions[:, : len(weights)] * weights)
            for name, (project, directions) in self._sides.items()
        }
        return Fitted(networks, chosen)

    def measured(self, weights: np.ndarray, validation: Pairs) -> dict:
        """`evaluate_pairs` of what `fitted` makes, without making it.

        Its unit vectors are the first entries of those of all directions, times the weights, at
        unit length again.
        """
        if self._embedded is None or self._embedded[0] is not validation:
            scorer = self.fitted(np.ones(self.most), {}).scorer()
            vectors = embed_pairs(scorer, validation)
            self._embedded = validation, validation.with_features(*vectors)
        _, whole = self._embedded
        first = [_unit(rows[:, : len(weights)] * weights) for rows in (whole.images, whole.texts)]
        return evaluate_pairs(GivenVectors(), whole.with_features(*first))


@dataclass(frozen=True)
class Candidate:
    """Some directions of a fit, see `Projections`."""

    projections: Projections
    weights: np.ndarray
    chosen: Mapping[str, Any]

    def measured(self, validation: Pairs) -> dict:
        """What `evaluate_pairs` gives."""
        return self.projections.measured(self.weights, validation)

    def fitted(self) -> Fitted:
        """The networks."""
        return self.projections.fitted(self.weights, self.chosen)


def of_components(
    projections: Projections,
    wanted: Sequence[int],
    chosen: Mapping[str, Any],
    weights: np.ndarray | None = None,
) -> Iterator[tuple[str, Candidate]]:
    """The candidates of one fit, which differ in their number of components.

    Args:
        projections: The fit.
        wanted: Numbers of components; those above `most` become `most`.
        chosen: What else makes the fit what it is, by the config field's name.
        weights: Of each direction, `[most]`; by default all alike.
    """
    weights = np.ones(projections.most) if weights is None else weights
    for k in sorted({min(k, projections.most) for k in wanted}):
        name = ", ".join(
            [*(f"{name} {value:g}" for name, value in chosen.items()), f"{k} components"]
        )
        yield name, Candidate(projections, weights[:k], {**chosen, "components": k})


def best_on_validation(
    candidates: Iterable[tuple[str, Fitted | Candidate]], validation: Pairs, select_by="auto"
) -> Fitted:
    """The candidate that validation prefers, the first of equals, with the scores of all.

    Args:
        candidates: Each with its name for people; they are taken one by one, and only the best so
            far is kept.
        validation: Validation pairs as features.
        select_by: See `evaluation.protocol.selection_score`.
    """
    best, tried = None, {}
    for name, candidate in candidates:
        tried[name] = selection_score(candidate.measured(validation), select_by)
        if best is None or tried[name] > max(list(tried.values())[:-1]):
            best = candidate
    return replace(best.fitted(), tried=tried)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows at unit length; rows of zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
