"""What a discriminator says of vectors that are all real, or none of which is."""

from __future__ import annotations

from tfxmodal.lazy import tf


def discrimination(logits, real: bool, weights=None):
    """The cross-entropy of one right answer for all rows.

        real:       L = -1/n sum_i w_i log sigmoid(s_i)
        otherwise:  L = -1/n sum_i w_i log(1 - sigmoid(s_i))

    Where real vectors and others have one distribution, the best discriminator answers s = 0, and
    the sum of both losses is 2 log 2. A generator minimises the loss of its own vectors as real.

    Args:
        logits: s, `[n, 1]`.
        real: The right answer.
        weights: w, `[n]`; 1 by default.

    Returns:
        A scalar; over replicas of n rows each it averages to the global loss.
    """
    losses = tf.math.softplus(-logits if real else logits)[:, 0]
    return tf.reduce_mean(losses if weights is None else weights * losses)
