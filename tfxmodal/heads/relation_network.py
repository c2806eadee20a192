"""DRSL's fusion g and relation network k (DRSL, sec. 3.2.2): a score for each image-text pair.

R_pq = k(g(z_p, z_q)), equations (4) and (5). The first layer W of k never sees a fused vector of
all pairs where the fusion is linear, since it splits:

    concatenation   W [z_i; z_t]   = W_i z_i + W_t z_t
    addition        W (z_i + z_t)  = W z_i + W z_t
    subtraction     W (z_i - z_t)  = W z_i - W z_t

so that it costs a product a row and not a product a pair. Its batch normalisation splits as well:
over all sums of a row of each, means add up and so do variances, which leaves an affine map of the
rows. Multiplication, W (z_i * z_t), does not split (its statistics neither), and no order of its
products is cheaper than one product of the fused vectors; nor do second hidden layers split.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.errors import InputError, choose
from tfxmodal.heads.layers import EPSILON, MOMENTUM, dense
from tfxmodal.lazy import keras, tf

FUSIONS = ("concatenation", "multiplication", "addition", "subtraction")


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
        start_dim: How many columns at the end of z are what scores begin as (`RelationNetwork`).
    """

    fusion: str
    image_kernel: tf.Tensor
    text_kernel: tf.Tensor | None
    bias: tf.Tensor
    hidden: tuple[tuple[tf.Tensor, tf.Tensor], ...]
    read_out: tf.Tensor
    read_out_bias: tf.Tensor
    start_dim: int = 0

    def of_images(self, images) -> tf.Tensor:
        """What of the first layer is an image's alone: z_i `[n, dim]` to W_i z_i `[n, units]`.

        Where the fusion does not split (multiplication), z_i as it is. The start follows.
        """
        first = images if self.text_kernel is None else images @ self.image_kernel
        return self._with_start(first, images)

    def of_texts(self, texts) -> tf.Tensor:
        """What of the first layer is a text's alone: z_t to W_t z_t and the bias, or z_t."""
        first = texts if self.text_kernel is None else texts @ self.text_kernel + self.bias
        return self._with_start(first, texts)

    def _with_start(self, first, rows):
        return tf.concat([first, start_of(rows, self.start_dim)], 1) if self.start_dim else first


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
        start_dim: So many of the last columns of z_i and z_t are unit vectors whose cosine is added
            to the score (ours). The read-out then starts at zero, so that the first scores are the
            cosines.

    Raises:
        InputError: If the fusion is unknown, or the rows given are not `dim` wide.
    """

    def __init__(
        self,
        dim: int = 300,
        fusion: str = "concatenation",
        hidden_layers: int = 1,
        units: int = 1024,
        batch_norm: bool = False,
        start_dim: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        choose("fusion", fusion, FUSIONS)
        self.dim, self.fusion, self.hidden_layers = dim, fusion, hidden_layers
        self.units, self.batch_norm, self.start_dim = units, batch_norm, start_dim
        width = 2 * dim if fusion == "concatenation" else dim
        layers, norms = [], []
        for inputs in [width] + [units] * (hidden_layers - 1):
            layers.append(self._built(dense(units, self.dtype_policy), inputs))
            norm = keras.layers.Identity(dtype=self.dtype_policy)
            if batch_norm:
                # Of it only the variables are used: see `_affine`.
                norm = keras.layers.BatchNormalization(dtype=self.dtype_policy)
            norms.append(self._built(norm, units))
        self.dense, self.norms = tuple(layers), tuple(norms)  # A checkpoint overlooks a list.
        # Scores are of the variables' float32 also where the layers before compute in bfloat16.
        self.read_out = self._built(dense(1, self.variable_dtype), units)
        if start_dim:
            self.read_out.set_weights([0 * weight for weight in self.read_out.get_weights()])
        self.built = True

    def call(self, images, texts, training=False):
        """Scores of aligned pairs: z_i `[n, dim]` and z_t `[n, dim]` to R `[n]`."""
        self._check_widths(images, texts)
        fused = {
            "concatenation": lambda: tf.concat([images, texts], axis=-1),
            "multiplication": lambda: images * texts,
            "addition": lambda: images + texts,
            "subtraction": lambda: images - texts,
        }[self.fusion]()
        scores = self._relation(self._normalised(0, self.dense[0](fused), training), training)
        if self.start_dim:
            scores += tf.reduce_sum(self._start(images) * self._start(texts), axis=1)
        return scores

    def all_pairs(self, images, texts, training=False):
        """Equation (8), R = h(Z_i, Z_t): z_i `[n, dim]` and z_t `[m, dim]` to R `[n, m]`.

        On one of several replicas: its own images, as many as each has, and the texts of all. Batch
        normalisation is then over the pairs of the global batch.
        """
        self._check_widths(images, texts)
        scores = self._all_pairs(images, texts, training)
        if self.start_dim:
            scores += tf.matmul(self._start(images), self._start(texts), transpose_b=True)
        return scores

    def _all_pairs(self, images, texts, training):
        images, texts = (tf.cast(rows, self.compute_dtype) for rows in (images, texts))
        shape = [tf.shape(images)[0], tf.shape(texts)[0]]
        if self.fusion == "multiplication":
            fused = tf.reshape(images[:, None] * texts, [-1, self.dim])
            first = self._normalised(0, self.dense[0](fused), training)
            return tf.reshape(self._relation(first, training), shape)

        image_kernel, text_kernel = self._split(tf.cast(self.dense[0].kernel, self.compute_dtype))
        images = tf.cast(images @ image_kernel, self.variable_dtype)
        texts = tf.cast(texts @ text_kernel, self.variable_dtype) + self.dense[0].bias
        if self.batch_norm:
            scale, shift = self._affine(0, [images, texts], training)
            images, texts = images * scale, texts * scale + shift
        if self.hidden_layers == 1:
            return _scores(images, texts, self.read_out.kernel[:, 0]) + self.read_out.bias
        first = tf.cast(tf.reshape(images[:, None] + texts, [-1, self.units]), self.compute_dtype)
        return tf.reshape(self._relation(first, training), shape)

    def weights_for_inference(self) -> RelationWeights:
        """The network as it is now, with batch normalisation folded into the layers before it."""
        folded = []
        for i, layer in enumerate(self.dense):
            kernel, bias = (tf.convert_to_tensor(w) for w in (layer.kernel, layer.bias))
            if self.batch_norm:
                scale, shift = self._affine(i)
                kernel, bias = kernel * scale, bias * scale + shift
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
            self.start_dim,
        )

    def _check_widths(self, images, texts):
        widths = images.shape[-1], texts.shape[-1]
        if widths != (self.dim, self.dim):
            raise InputError(
                f"The relation network fuses, by {self.fusion}, vectors of {self.dim} numbers; "
                f"received {widths[0]} for images and {widths[1]} for texts: make both encoders "
                f"end in {self.dim}."
            )

    def _start(self, rows):
        return tf.cast(start_of(rows, self.start_dim), self.variable_dtype)

    def _split(self, kernel):
        """W_i and W_t, `[dim, units]` each, of a fusion that is linear."""
        return {
            "concatenation": lambda: (kernel[: self.dim], kernel[self.dim :]),
            "addition": lambda: (kernel, kernel),
            "subtraction": lambda: (kernel, -kernel),
        }[self.fusion]()

    def _relation(self, rows, training):
        """The first layer's outputs, normalised, `[pairs, units]` to R `[pairs]`."""
        for i, layer in enumerate(self.dense[1:], 1):
            rows = self._normalised(i, layer(tf.nn.relu(rows)), training)
        return self.read_out(tf.nn.relu(rows))[..., 0]

    def _normalised(self, i: int, rows, training):
        """Outputs of hidden layer i, `[pairs, units]`, normalised over the pairs."""
        if not self.batch_norm:
            return rows
        rows = tf.cast(rows, self.variable_dtype)
        scale, shift = self._affine(i, [rows], training)
        return tf.cast(rows * scale + shift, self.compute_dtype)

    def _affine(self, i: int, terms=(), training=False):
        """Batch normalisation of hidden layer i, as a scale `[units]` and a shift `[units]`.

        In training over the pairs of all replicas: the rows of one term `[pairs, units]`, or all
        sums of a row of `[n, units]` and a row of `[m, units]`.
        """
        norm = self.norms[i]
        mean, variance = norm.moving_mean, norm.moving_variance
        if training:
            moments = [tf.nn.moments(term, axes=0) for term in terms]
            own_mean, own_variance = (sum(parts) for parts in zip(*moments, strict=True))
            all_reduce = tf.distribute.get_replica_context().all_reduce
            mean = all_reduce("mean", own_mean)
            variance = all_reduce("mean", own_variance + (own_mean - mean) ** 2)
            for moving, now in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
                moving.assign(MOMENTUM * moving + (1 - MOMENTUM) * now)
        # Without the cast, Keras hands a layer's call bfloat16 variables.
        gamma, beta = (tf.cast(w, self.variable_dtype) for w in (norm.gamma, norm.beta))
        scale = gamma * tf.math.rsqrt(variance + EPSILON)
        return scale, beta - mean * scale

    def _built(self, layer, inputs: int):
        layer.build((None, inputs))
        return layer

    def get_config(self):
        """The arguments, for saving."""
        names = ("dim", "fusion", "hidden_layers", "units", "batch_norm", "start_dim")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def start_of(rows, start_dim: int):
    """The last columns of rows `[n, d]`: `[n, start_dim]`."""
    return rows[:, rows.shape[1] - start_dim :]


@tf.custom_gradient
def _scores(images, texts, weights):
    """Equation (8) where one hidden layer splits: sum_u w_u relu(a_iu + b_ju).

    From a `[n, units]`, b `[m, units]` and w `[units]` to `[n, m]`; nothing of all three is held.
    With O_iju = 1 where a_iu + b_ju > 0, the gradient of a_iu is w_u sum_j g_ij O_iju, b's is
    alike, and w's, sum_ij g_ij O_iju (a_iu + b_ju), is made of the same two sums.
    """

    def backward(upstream):
        by_image = _sum_where_open(images, texts, upstream)
        by_text = _sum_where_open(texts, images, tf.transpose(upstream))
        by_unit = tf.reduce_sum(images * by_image, 0) + tf.reduce_sum(texts * by_text, 0)
        return by_image * weights, by_text * weights, by_unit

    return _sum_of_units(images, texts, weights), backward


@tf.function(jit_compile=True, autograph=False)
def _sum_of_units(a, b, w):
    """sum_u w_u relu(a_iu + b_ju), `[n, m]`."""
    terms = zip(
        *map(_slices, (a[:, :, None], tf.transpose(b)[None], w[None, :, None])), strict=True
    )
    return tf.reduce_sum(sum(tf.nn.relu(a + b) * w for a, b, w in terms), axis=1)


@tf.function(jit_compile=True, autograph=False)
def _sum_where_open(a, b, g):
    """sum_j g_ij [a_iu + b_ju > 0], `[n, units]`."""
    terms = zip(*map(_slices, (b[None], g[:, :, None])), strict=True)
    return tf.reduce_sum(sum(tf.where(a[:, None] + b > 0, g, 0) for b, g in terms), axis=1)


def _slices(terms, count=16):
    """`[p, terms, q]`, with zeros to fill up, to `count` of `[p, terms / count, q]`.

    Added up by name, they stay in XLA's registers: eight times faster on a CPU than one reduction.
    """
    terms = tf.pad(terms, [[0, 0], [0, -tf.shape(terms)[1] % count], [0, 0]])
    return [terms[:, i::count] for i in range(count)]
