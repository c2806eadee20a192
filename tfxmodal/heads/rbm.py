"""Restricted Boltzmann machines, and autoencoders of the same weights, for layer-wise training."""

from __future__ import annotations

from typing import Literal

from tfxmodal.lazy import keras, tf


class RBM(keras.layers.Layer):
    """Hidden units h of 0 or 1 over visible units v, joined by W `[visible, hidden]`.

    As a layer it gives p(h = 1 | v). With the input x = W^T v + b of the hidden units, the energy
    and the free energy F(v) = -log sum_h exp(-E(v, h)) are, by kind of the visible units,

        bernoulli: E = -a . v - x . h              F = -a . v - sum_j log(1 + exp(x_j))
        gaussian:  E = 1/2 ||v - a||^2 - x . h     F = 1/2 ||v - a||^2 - sum_j log(1 + exp(x_j))
        counts:    as bernoulli, but x = W^T v + D b

    The Gaussian units have variance 1, so that features are to be standardised. Counts are those of
    the words of a text, D in all: the replicated softmax of Salakhutdinov and Hinton (NIPS 2009).

    Args:
        units: Hidden units.
        visible: The kind of the visible units.
    """

    def __init__(
        self,
        units: int,
        visible: Literal["bernoulli", "gaussian", "counts"] = "bernoulli",
        **options,
    ):
        super().__init__(**options)
        self.units, self.visible = units, visible
        self._random = keras.random.SeedGenerator()

    def build(self, shape):
        """Makes W, of variance 1 / visible, and the biases a and b, which are 0."""
        self.kernel = self.add_weight((shape[-1], self.units), "lecun_normal", name="kernel")
        self.visible_bias = self.add_weight(shape[-1:], "zeros", name="visible_bias")
        self.hidden_bias = self.add_weight((self.units,), "zeros", name="hidden_bias")

    def call(self, visible):
        """Rows `[..., visible]` to p(h = 1 | v), `[..., hidden]`."""
        return tf.sigmoid(self._hidden_input(visible))

    def free_energy(self, visible: tf.Tensor) -> tf.Tensor:
        """F of rows `[..., visible]`, `[...]`."""
        if self.visible == "gaussian":
            alone = tf.reduce_sum(tf.square(visible - self.visible_bias), -1) / 2
        else:
            alone = -tf.reduce_sum(visible * self.visible_bias, -1)
        return alone - tf.reduce_sum(tf.math.softplus(self._hidden_input(visible)), -1)

    def reconstruction(self, hidden: tf.Tensor, visible: tf.Tensor) -> tf.Tensor:
        """The mean of the visible units, given the hidden ones `[..., hidden]`.

        Of `visible`, the rows that were read, it takes the number of words, where they are counts.
        """
        rows = tf.tensordot(hidden, tf.transpose(self.kernel), 1) + self.visible_bias
        if self.visible == "gaussian":
            return rows
        if self.visible == "bernoulli":
            return tf.sigmoid(rows)
        return tf.reduce_sum(visible, -1, keepdims=True) * tf.nn.softmax(rows)

    def row_losses(self, visible: tf.Tensor, replicas) -> tf.Tensor:
        """What has the gradient of contrastive divergence with one step, CD-1 (Hinton, 2002).

            L = F(v) - F(v'),   h ~ p(h | v),   v' = E[v | h], through which no gradient flows

        Its gradient is that of the energy at the data less that at their reconstruction. The value
        itself says little: it is no likelihood, and may rise.

        Args:
            visible: This replica's rows v, `[n, ..., visible]`.
            replicas: Of the step. Random numbers are drawn for the global batch, so that a row has
                the same ones on any number of replicas.

        Returns:
            L of each row, `[n, ...]`.
        """
        probability = self(visible)
        hidden = tf.cast(self._uniform(probability, replicas) < probability, probability.dtype)
        again = tf.stop_gradient(self.reconstruction(hidden, visible))
        return self.free_energy(visible) - self.free_energy(again)

    def _hidden_input(self, visible):
        bias = self.hidden_bias
        if self.visible == "counts":
            bias = bias * tf.reduce_sum(visible, -1, keepdims=True)
        return tf.tensordot(visible, tf.convert_to_tensor(self.kernel), 1) + bias

    def _uniform(self, like: tf.Tensor, replicas) -> tf.Tensor:
        """Random numbers from 0 to 1, in the shape of this replica's rows."""
        rows, first = tf.shape(like)[0], replicas.offset(like)
        shape = tf.concat([[replicas.count * rows], tf.shape(like)[1:]], axis=0)
        drawn = keras.random.uniform(shape, dtype=like.dtype, seed=self._random)
        return drawn[first : first + rows]


class DenoisingAutoencoder(RBM):
    """The same units, trained to reconstruct rows of which a share was set to zero.

    Encoder and decoder share W (Vincent et al., JMLR 2010). No unit is drawn, so that the loss is
    one that falls.

    Args:
        units: Hidden units.
        visible: The kind of the visible units, which decides what the decoder ends in.
        dropped: Share of the visible units that is set to zero (ours: .3).
    """

    def __init__(self, units: int, visible: str = "bernoulli", dropped: float = 0.3, **options):
        super().__init__(units, visible, **options)
        self.dropped = dropped

    def row_losses(self, visible: tf.Tensor, replicas) -> tf.Tensor:
        """The squared error of each row; see `RBM.row_losses` for the arguments."""
        kept = tf.cast(self._uniform(visible, replicas) >= self.dropped, visible.dtype)
        again = self.reconstruction(self(visible * kept), visible)
        return tf.reduce_sum(tf.square(again - visible), -1)


LAYERS = {"rbm": RBM, "autoencoder": DenoisingAutoencoder}
"""By name, as a config gives it."""


class JointCode(keras.layers.Layer):
    """The hidden units of a machine over two codes, where one of both is known alone.

    The other one is inferred by mean field: both it and the hidden units take in turn the means
    that they have, given the other.

    Args:
        joint: A machine of Bernoulli units, the one code's and then the other's. It is built.
        first: Whether the first code is known.
        steps: Turns.
    """

    def __init__(self, joint: RBM, first: bool, steps: int, **options):
        super().__init__(**options)
        self.joint, self.first, self.steps = joint, first, steps

    def call(self, known):
        """Codes `[n, dim]` to the hidden units' means `[n, hidden]`."""
        kernel = tf.convert_to_tensor(self.joint.kernel)
        bias = tf.convert_to_tensor(self.joint.visible_bias)
        own = known.shape[-1] if self.first else kernel.shape[0] - known.shape[-1]
        parts = slice(None, own), slice(own, None)
        here, there = parts if self.first else parts[::-1]
        from_known = known @ kernel[here] + self.joint.hidden_bias
        hidden = tf.sigmoid(from_known)
        for _ in range(self.steps):
            other = tf.sigmoid(tf.matmul(hidden, kernel[there], transpose_b=True) + bias[there])
            hidden = tf.sigmoid(from_known + other @ kernel[there])
        return hidden
