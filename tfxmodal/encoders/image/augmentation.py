"""What pictures go through when an encoder is trained on them."""

from __future__ import annotations

from tfxmodal.encoders.image.image_encoder import ImageEncoder
from tfxmodal.lazy import keras, tf


@keras.saving.register_keras_serializable("tfxmodal")
class RandomCropFlip(keras.layers.Layer):
    """Each picture cropped at a random place and mirrored or not; without training at the centre.

    (The random layers of Keras crop a whole batch at one place.)

    Args:
        crop: Side of the crop, in pixels.
    """

    def __init__(self, crop: int, **options):
        super().__init__(**options)
        self.crop = crop
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, images, training=False):
        """Pictures `[batch, side, side, channels]` to `[batch, crop, crop, channels]`."""
        batch, margin = tf.shape(images)[0], images.shape[1] - self.crop
        if not training:
            start = margin // 2
            return images[:, start : start + self.crop, start : start + self.crop]
        places = keras.random.uniform([batch, 3], seed=self.seed_generator)
        offsets = tf.cast(places[:, :2] * (margin + 1), tf.int32)
        steps = tf.range(self.crop)
        rows, columns = offsets[:, :1] + steps, offsets[:, 1:] + steps
        columns = tf.where(places[:, 2:] < 0.5, columns, columns[:, ::-1])
        images = tf.gather(images, rows, axis=1, batch_dims=1)
        return tf.gather(images, columns, axis=2, batch_dims=1)

    def compute_output_shape(self, shape):
        """The crop's sides."""
        return shape[0], self.crop, self.crop, shape[3]

    def get_config(self):
        """The configuration, from which Keras builds the layer again."""
        return super().get_config() | {"crop": self.crop}


def augmented(encoder: ImageEncoder) -> keras.Model:
    """An encoder's network below which pictures are cropped and mirrored at random in training.

    A network without a margin between `resize` and `crop` sees them mirrored alone.

    Args:
        encoder: Its model takes `[batch, crop, crop, 3]`.

    Returns:
        A model from `[batch, resize, resize, 3]`, uint8, with the layers of the encoder's.
    """
    model, side = encoder.model, encoder.preprocessing.resize
    pictures = keras.Input([side, side, 3], dtype="uint8", name="pictures")
    crops = RandomCropFlip(encoder.preprocessing.crop, dtype="uint8")(pictures)
    return keras.Model(pictures, model(keras.ops.cast(crops, model.inputs[0].dtype)))
