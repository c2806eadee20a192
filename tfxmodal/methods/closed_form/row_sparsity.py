"""The norm of JRL and GSS-SL that leaves few rows of a projection, and its step.

    |P|_{2,1} = sum_i |p_i|, the sum of the lengths of the rows of P

A row is a feature: those of no use go to zero in all columns. The lengths are sqrt(|p|^2 + eps^2),
which are smooth at zero. At given lengths a quadratic function that is nowhere below touches the
norm, so that minimising that function instead never raises the objective (Nie et al., NIPS 2010).
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-8


def row_lengths(directions: np.ndarray) -> np.ndarray:
    """The smooth lengths `[d]` of the rows of P `[d, k]`."""
    return np.sqrt(np.sum(directions**2, axis=1) + EPSILON**2)


def row_sparse_step(
    quadratic: np.ndarray, linear: np.ndarray, weight: float, before: np.ndarray
) -> np.ndarray:
    """The P that lowers tr(P^T A P) - 2 tr(P^T B) + weight |P|_{2,1} from where it was.

    P = (A + weight D)^-1 B with D = diag(1 / (2 |p_i|)) of the P before.

    Args:
        quadratic: A, `[d, d]`.
        linear: B, `[d, k]`.
        weight: Of the norm.
        before: P, `[d, k]`.
    """
    system = quadratic.copy()
    system[np.diag_indices_from(system)] += weight / (2 * row_lengths(before))
    return np.linalg.solve(system, linear)
