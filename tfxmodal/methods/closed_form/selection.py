"""The choice of hyper-parameters by the validation pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation.protocol import evaluate_pairs, selection_score
from tfxmodal.lazy import keras
from tfxmodal.methods.spec import Fitted

COMPONENTS = (10, 20, 50, 100, 200)
"""Dimensions of the common space that validation chooses from."""

Project = Callable[[np.ndarray], "keras.Model"]
"""From directions `[d, k]` to the network that projects features onto them."""


def choices(given, grid: Sequence) -> Sequence:
    """The value that a config gives, alone, or the grid where it gives none."""
    return grid if given is None else (given,)


def of_components(
    projections: Mapping[str, tuple[Project, np.ndarray]],
    wanted: Sequence[int],
    chosen: Mapping[str, Any],
) -> Iterator[tuple[str, Fitted]]:
    """The candidates of one fit, which differ in their number of components.

    Args:
        projections: Of `image` and `text` the directions `[d, most]`, the best first, and what
            makes a network of some of them.
        wanted: Numbers of components; those above `most` become `most`.
        chosen: What else makes the fit what it is, by the config field's name.
    """
    most = min(directions.shape[1] for _, directions in projections.values())
    for k in sorted({min(k, most) for k in wanted}):
        networks = {
            f"{kind}_encoder": project(directions[:, :k])
            for kind, (project, directions) in projections.items()
        }
        name = ", ".join(
            [*(f"{name} {value:g}" for name, value in chosen.items()), f"{k} components"]
        )
        yield name, Fitted(networks, {**chosen, "components": k})


def best_on_validation(
    candidates: Iterable[tuple[str, Fitted]], validation: Pairs, select_by: str = "auto"
) -> Fitted:
    """The candidate that validation prefers, the first of equals, with the scores of all.

    Args:
        candidates: Each with its name for people; they are taken one by one, and only the best so
            far is kept.
        validation: Validation pairs as features.
        select_by: See `evaluation.protocol.selection_score`.
    """
    best, tried = None, {}
    for name, fitted in candidates:
        tried[name] = selection_score(evaluate_pairs(fitted.scorer(), validation), select_by)
        if best is None or tried[name] > max(list(tried.values())[:-1]):
            best = fitted
    return replace(best, tried=tried)
