"""The choice of hyper-parameters by the validation pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation.protocol import evaluate_pairs, selection_score
from tfxmodal.methods.spec import Fitted


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
