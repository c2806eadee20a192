"""DRSL's fusion g and relation network k (DRSL, sec. 3.2.2): a score for each image-text pair.

R_pq = k(g(z_p, z_q)), equations (4) and (5). The first layer W of k never sees a fused vector of
all pairs where the fusion is linear, since it splits:

    concatenation   W [z_i; z_t]   = W_i z_i + W_t z_t
    addition        W (z_i + z_t)  = W z_i + W z_t
    subtraction     W (z_i - z_t)  = W z_i - W z_t

so that it costs a product a row and not a product a pair. Multiplication, W (z_i * z_t), does not
split; its all-pairs form is the batched product (z_i * W^T) z_t.
"""

from dataclasses import dataclass

import keras
import tensorflow as tf

from tfxmodal.errors import InputError, choose

FUSIONS = ("concatenation", "multiplication", "addition", "subtraction")
MOMENTUM, EPSILON = 0.9, 1e-5
"""Of batch normalisation, as in the released code (Keras' own .99 is slow for a few hundred steps)."""


@dataclass(frozen=True)
class RelationWeights:
    """A relation network as plain tensors, with batch normalisation folded in: for inference.

    Attributes:
        fusion: One of `FUSIONS`.
        image_kernel: `[dim, units]`, W_i; for multiplication the whole W.
        text_kernel: `[dim, units]`, W_t; None for multiplication.
        bias: `[units]` of the first layer.
        hidden: Kernel `[units, units]` and bias `[units]` of each further hidden layer.
        read_out: `[units]`, the last layer.
        read_out_bias: `[]`.
    """

    fusion: str
    image_kernel: tf.Tensor
    text_kernel: tf.Tensor | None
    bias: tf.Tensor
    hidden: tuple[tuple[tf.Tensor, tf.Tensor], ...]
    read_out: tf.Tensor
    read_out_bias: tf.Tensor


@keras.saving.register_keras_serializable("tfxmodal")
class RelationNetwork(keras.layers.Layer):
    """Relation scores of aligned pairs (`relation(z_i, z_t)`) and of all pairs (`all_pairs`).

    Args:
        dim: Width of z_i and z_t (sec. 3.4: 300).
        fusion: One of `FUSIONS` (sec. 3.4: concatenation).
        hidden_layers: Hidden layers (sec. 3.4: one; released code: two).
        units: Units of each (sec. 3.4: 1,024).
        batch_norm: Normalise each hidden layer, before its ReLU, over all pairs of the batch
            (released code).

    Raises:
        InputError: If the fusion is unknown.
    """

    def __init__(
        self,
        dim: int = 300,
        fusion: str = "concatenation",
        hidden_layers: int = 1,
        units: int = 1024,
        batch_norm: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        choose("fusion", fusion, FUSIONS)
        self.dim, self.fusion, self.hidden_layers = dim, fusion, hidden_layers
        self.units, self.batch_norm = units, batch_norm
        width = 2 * dim if fusion == "concatenation" else dim
        self.dense, self.norms = [], []
        for inputs in [width] + [units] * (hidden_layers - 1):
            self.dense.append(self._built(keras.layers.Dense(units, dtype=self.dtype_policy), inputs))
            norm = keras.layers.Identity(dtype=self.dtype_policy)
            if batch_norm:
                norm = keras.layers.BatchNormalization(
                    momentum=MOMENTUM, epsilon=EPSILON, synchronized=True, dtype=self.dtype_policy
                )
            self.norms.append(self._built(norm, units))
        self.read_out = self._built(keras.layers.Dense(1, dtype=self.dtype_policy), units)
        self.built = True

    def call(self, images, texts, training=False):
        """Scores of aligned pairs: z_i `[n, dim]` and z_t `[n, dim]` to R `[n]`."""
        fused = {
            "concatenation": lambda: tf.concat([images, texts], axis=-1),
            "multiplication": lambda: images * texts,
            "addition": lambda: images + texts,
            "subtraction": lambda: images - texts,
        }[self.fusion]()
        return self._relation(self.dense[0](fused), training)

    def all_pairs(self, images, texts, training=False):
        """Equation (8), R = h(Z_i, Z_t): z_i `[n, dim]` and z_t `[m, dim]` to R `[n, m]`."""
        images, texts = (tf.cast(rows, self.compute_dtype) for rows in (images, texts))
        kernel = tf.cast(self.dense[0].kernel, self.compute_dtype)
        bias = tf.cast(self.dense[0].bias, self.compute_dtype)
        if self.fusion == "multiplication":
            # [n, dim, units] holds z_i * W^T of each image.
            first = texts @ (images[:, :, None] * kernel) + bias
        else:
            image_kernel, text_kernel = self._split(kernel)
            first = (images @ image_kernel)[:, None] + (texts @ text_kernel + bias)
        shape = tf.shape(first)[:2]
        return tf.reshape(self._relation(tf.reshape(first, [-1, self.units]), training), shape)

    def weights_for_inference(self) -> RelationWeights:
        """The network as it is now, with batch normalisation folded into the layers before it."""
        folded = []
        for dense, norm in zip(self.dense, self.norms, strict=True):
            kernel, bias = (tf.convert_to_tensor(w) for w in (dense.kernel, dense.bias))
            if self.batch_norm:
                scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
                kernel, bias = kernel * scale, (bias - norm.moving_mean) * scale + norm.beta
            folded.append((kernel, bias))
        (kernel, bias), *hidden = folded
        split = (kernel, None) if self.fusion == "multiplication" else self._split(kernel)
        return RelationWeights(
            self.fusion,
            *split,
            bias,
            tuple(hidden),
            tf.convert_to_tensor(self.read_out.kernel)[:, 0],
            tf.convert_to_tensor(self.read_out.bias)[0],
        )

    def _split(self, kernel):
        """W_i and W_t, `[dim, units]` each, of a fusion that is linear."""
        return {
            "concatenation": lambda: (kernel[: self.dim], kernel[self.dim :]),
            "addition": lambda: (kernel, kernel),
            "subtraction": lambda: (kernel, -kernel),
        }[self.fusion]()

    def _relation(self, first, training):
        """The first layer's outputs, before normalisation, `[pairs, units]` to R `[pairs]`."""
        rows = tf.nn.relu(self.norms[0](first, training=training))
        for dense, norm in zip(self.dense[1:], self.norms[1:], strict=True):
            rows = tf.nn.relu(norm(dense(rows), training=training))
        return self.read_out(rows)[..., 0]

    def _built(self, layer, inputs: int):
        layer.build((None, inputs))
        return layer

    def get_config(self):
        """The arguments, for saving."""
        names = ("dim", "fusion", "hidden_layers", "units", "batch_norm")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def check_widths(fusion: str, images: int, texts: int):
    """Checks that the fusion can join vectors of these widths.

    Raises:
        InputError: If they differ and the fusion is element by element.
    """
    if images != texts and fusion != "concatenation":
        raise InputError(
            f"Fusion by {fusion} joins vectors of one width; received {images} for images and "
            f"{texts} for texts: make both encoders end alike, or fuse by concatenation."
        )
