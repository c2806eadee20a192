"""SCL's discriminator T: how well a code fits an input (SCL, sec. III-B).

T(x, z) = w3 . relu(W2 relu(W [h(x); z] + b1) + b2) + b3, with h the input branch. The layer after
the concatenation splits, W [h; z] = W_h h + W_z z, so that it and the input branch cost a product a
row and not a product a pair: only W2 is left to the pairs.
"""

from __future__ import annotations

from tfxmodal.lazy import keras, tf


def input_branch(input_dim: int, last_layer: keras.layers.Layer) -> keras.Model:
    """The layers from original features to h, `[batch, input_dim]` to `[batch, 512]`.

    Two fully connected ReLU layers, 1,024 and 512. The modalities differ in width, so each has its
    first layer; they share `last_layer` ("we share layers of two discriminators with the same
    computations"; the released code does the same).
    """
    features = keras.Input([input_dim], name="features")
    first = keras.layers.Dense(1024, activation="relu")(features)
    return keras.Model(features, last_layer(first), name="input_branch")


@keras.saving.register_keras_serializable("tfxmodal")
class PairDiscriminator(keras.layers.Layer):
    """Scores T of inputs h with codes z; all four terms of SCL's equation (6) share it.

    `discriminator(h, z)` scores rows that broadcast: `[n, dim]` with `[n, dim]` gives `[n]`;
    `h[:, None]` with `z[None]` gives all pairs `[n, m]`. `mean_loss` is the way to train on all
    pairs of a batch: it does not hold them in memory.

    Args:
        input_dim: Width of h.
        code_dim: Width of z.
        units: Units of the two hidden layers.
    """

    def __init__(self, input_dim: int = 512, code_dim: int = 512, units: int = 512, **kwargs):
        super().__init__(**kwargs)
        self.input_dim, self.code_dim, self.units = input_dim, code_dim, units
        limit = (6 / (input_dim + code_dim + units)) ** 0.5  # Glorot of the concatenated layer.

        def dense(width, inputs, **options):
            layer = keras.layers.Dense(width, dtype=self.dtype_policy, **options)
            layer.build((None, inputs))
            return layer

        def uniform():
            return keras.initializers.RandomUniform(-limit, limit)

        self.from_input = dense(units, input_dim, kernel_initializer=uniform())
        self.from_code = dense(units, code_dim, kernel_initializer=uniform(), use_bias=False)
        self.second = dense(units, units)
        self.third = dense(1, units)
        self.built = True

    def call(self, inputs, codes):
        """T of h `[..., input_dim]` and z `[..., code_dim]`, which broadcast, `[...]`."""
        return _scores(self.from_input(inputs), self.from_code(codes), *self._pair_weights())

    def mean_loss(self, inputs, codes, loss, negatives: int | None = None, offset=0):
        """The mean over pairs of a loss on their codes' scores with candidate inputs.

        The candidates of pair i are the inputs of pair i (the positive), i + 1, ...,
        i + `negatives`, cyclically. Scores and their gradient are computed together, a few pairs
        at a time: memory does not grow with the batch squared, and nothing is computed twice. (So
        there is no second derivative.)

        Args:
            inputs: h of the global batch, `[N, modalities, input_dim]`.
            codes: z of this replica's pairs, `[n, modalities, code_dim]`.
            loss: From scores `[candidates, pairs, input modality, code modality]`, positives in
                row 0, float32 or wider, to a loss a pair `[pairs]`.
            negatives: Candidates besides the positive; None, or more than there are, for all N - 1.
            offset: The global index of this replica's first pair.

        Returns:
            A scalar; over replicas of equal size it averages to the global loss.
        """
        batch = tf.shape(inputs)[0]
        candidates = batch if negatives is None else tf.minimum(negatives + 1, batch)
        return _mean_loss(
            tf.convert_to_tensor(self.from_input(inputs)),
            tf.convert_to_tensor(self.from_code(codes)),
            *self._pair_weights(),
            loss=loss,
            candidates=candidates,
            offset=offset,
        )

    def _pair_weights(self):
        weights = (self.second.kernel, self.second.bias, self.third.kernel, self.third.bias)
        return [tf.cast(weight, self.compute_dtype) for weight in weights]

    def get_config(self):
        """The arguments, for saving."""
        dims = {"input_dim": self.input_dim, "code_dim": self.code_dim, "units": self.units}
        return {**super().get_config(), **dims}


def _scores(inputs, codes, kernel2, bias2, kernel3, bias3):
    """T of broadcast rows: W_h h + b1 `[..., units]` and W_z z `[..., units]` to `[...]`."""
    first = tf.nn.relu(inputs + codes)
    rows = tf.reshape(first, [-1, first.shape[-1]])
    second = tf.nn.relu(tf.nn.bias_add(rows @ kernel2, bias2))
    return tf.reshape(tf.nn.bias_add(second @ kernel3, bias3), tf.shape(first)[:-1])


# Scores computed at a time: activations of [2048, 512] floats, 4 MB, stay in the cache.
_TILE = 2048


def _mean_loss(*tensors, loss, candidates, offset):
    """See `PairDiscriminator.mean_loss`; `tensors` are those of `_scores`."""
    batch, modalities = tf.shape(tensors[0])[0], tensors[0].shape[1]
    pairs = tf.shape(tensors[1])[0]
    tile = tf.maximum(1, _TILE // (candidates * modalities**2))

    def tile_loss(start, inputs, codes, *weights):
        rows = tf.range(start, tf.minimum(start + tile, pairs))
        own_first = (offset + rows + tf.range(candidates)[:, None]) % batch
        tile_inputs = tf.gather(inputs, own_first)[..., None, :]
        # A copy a modality: then the gradient sums over the first axis alone, which is fast.
        tile_codes = tf.stack([codes[start : start + tile]] * modalities, axis=1)
        scores = _scores(tile_inputs, tile_codes, *weights)
        return tf.reduce_sum(loss(tf.cast(scores, _wide(scores))))

    @tf.custom_gradient
    def mean(*tensors):
        def add_tile(start, total, gradients):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value = tile_loss(start, *tensors)
            gradients = [
                so_far + tf.cast(tf.convert_to_tensor(gradient), so_far.dtype)
                for so_far, gradient in zip(gradients, tape.gradient(value, tensors), strict=True)
            ]
            return start + tile, total + value, gradients

        zeros = [tf.zeros(tf.shape(tensor), _wide(tensor)) for tensor in tensors]
        _, total, gradients = tf.while_loop(
            lambda start, *_: start < pairs,
            add_tile,
            (0, tf.zeros((), zeros[0].dtype), zeros),
            parallel_iterations=1,  # One tile in memory.
        )
        share = 1 / tf.cast(pairs, total.dtype)

        def backward(upstream):
            return [
                tf.cast(upstream * share * gradient, tensor.dtype)
                for gradient, tensor in zip(gradients, tensors, strict=True)
            ]

        return share * total, backward

    return mean(*tensors)


def _wide(tensor) -> tf.DType:
    """The dtype to sum in: float32 for bfloat16, the tensor's own otherwise."""
    return tf.float32 if tensor.dtype.size < 4 else tensor.dtype
