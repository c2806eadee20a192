"""The classes of a point by its nearest neighbours, as a layer that holds them."""

from __future__ import annotations

import numpy as np

from tfxmodal.lazy import keras, tf


def posterior_encoders(
    projections: dict[str, keras.Model],
    places: np.ndarray,
    posteriors: np.ndarray,
    neighbours: int,
) -> dict[str, keras.Model]:
    """Models from features to unit vectors whose products are those of class posteriors.

    Of posteriors p of an image and q of a text, which are no longer than 1, the vectors are
    [p, sqrt(1 - |p|^2), 0] and [q, 0, sqrt(1 - |q|^2)]: their product is p . q.

    Args:
        projections: `image_encoder` and `text_encoder` as `heads.linear.linear_projection` makes
            them; posteriors are those of their outputs before the unit length.
        places: Points of known classes, `[points, dim]`.
        posteriors: Their classes, `[points, classes]`; a row sums to 1.
        neighbours: How many points count; at most all.
    """
    models = {}
    for name, projection in projections.items():
        layer = ClassPosterior(*posteriors.shape, neighbours, dtype="float32")
        p = layer(projection.layers[-2].output)
        layer.set_weights([places, posteriors])
        squares = keras.ops.sum(p**2, axis=1, keepdims=True)
        rest = keras.ops.sqrt(keras.ops.maximum(1 - squares, 0))
        ends = [rest, 0 * rest] if name == "image_encoder" else [0 * rest, rest]
        models[name] = keras.Model(projection.input, keras.ops.concatenate([p, *ends], axis=1))
    return models


@keras.saving.register_keras_serializable("tfxmodal")
class ClassPosterior(keras.layers.Layer):
    """Probabilities of the classes by the nearest points of known classes.

        p(z) = sum_j w_j y_j, w_j = sigmoid(-|z - z_j|) / sum_i sigmoid(-|z - z_i|)

    over the nearest points z_j, whose classes y_j sum to 1. The points are weights that are not
    trained. A batch needs `4 batch points` bytes.

    Args:
        points: How many there are.
        classes: How many there are.
        neighbours: How many points count; at most all.
    """

    def __init__(self, points: int, classes: int, neighbours: int, **options):
        super().__init__(**options)
        self.points, self.classes, self.neighbours = points, classes, neighbours

    def build(self, input_shape):
        """Makes the points `[points, dim]` and their classes `[points, classes]`."""
        self.places = self.add_weight(
            (self.points, input_shape[-1]), "zeros", trainable=False, name="places"
        )
        self.posteriors = self.add_weight(
            (self.points, self.classes), "zeros", trainable=False, name="posteriors"
        )

    def call(self, z):
        """Rows `[batch, dim]` to probabilities `[batch, classes]`."""
        places = tf.convert_to_tensor(self.places)
        # The squared distance, but for |z|^2, which changes no order.
        far = tf.reduce_sum(places**2, axis=1) - 2 * tf.matmul(z, places, transpose_b=True)
        _, nearest = tf.math.top_k(-far, min(self.neighbours, self.points))
        distances = tf.norm(z[:, None] - tf.gather(places, nearest), axis=-1)
        weights = tf.nn.softmax(tf.math.log_sigmoid(-distances))
        posteriors = tf.gather(tf.convert_to_tensor(self.posteriors), nearest)
        return tf.einsum("bk,bkc->bc", weights, posteriors)

    def get_config(self):
        """The arguments, for saving."""
        sizes = {"points": self.points, "classes": self.classes, "neighbours": self.neighbours}
        return {**super().get_config(), **sizes}
