"""Intrinsic structure preservation: equations (2) to (6) of SCL."""

from __future__ import annotations

from tfxmodal.lazy import tf


def info_nce(scores):
    """InfoNCE of one positive among candidates, negated so that it is minimised.

    Equation (2) as a loss, for the code z of input x_0 and scores T(x_i, z):

        -( T(x_0, z) - log sum_i exp T(x_i, z) )

    The sum stands for the product of marginals: every candidate of the batch, the positive among
    them, as in InfoNCE [46]. It is the cross-entropy of picking the positive, never negative.

    Args:
        scores: `[candidates, ...]`, the positive's in row 0.

    Returns:
        Loss of each code, `[...]`.
    """
    return tf.reduce_logsumexp(scores, axis=0) - scores[0]


def mutual_information(scores):
    """The four terms of equation (6), two within and two across modalities, for each pair.

        L_MI = L_vt + L_tv + L_vv + L_tt

    The paper prints the bounds (2)-(5), which are to be maximised; these are their negatives. The
    expectation is the mean over pairs, taken by `PairDiscriminator.mean_loss`. The released code
    divides by the batch size once more, which makes the term N times smaller than (6); not here.

    Args:
        scores: `[candidates, pairs, 2, 2]`: T of each candidate's image and text input (third axis)
            with the pair's image and text code (fourth axis); the pair's own inputs in row 0.

    Returns:
        `[pairs]`.
    """
    return tf.reduce_sum(info_nce(scores), axis=(1, 2))
