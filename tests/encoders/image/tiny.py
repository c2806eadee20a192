"""Encoders small enough to be trained in a test."""

import keras

from tfxmodal.encoders.image.image_encoder import ImageEncoder, Preprocessing
from tfxmodal.encoders.weights import hash_weights


def tiny_encoder(weights: str = "random", normalised: bool = False) -> ImageEncoder:
    """A convolution, a fully connected layer: pictures of 16 pixels, cropped out of 20.

    Args:
        weights: Random ones alone.
        normalised: Whether the convolution is followed by batch normalisation.
    """
    images = keras.Input([16, 16, 3], name="images")
    rows = keras.layers.Rescaling(1 / 128, offset=-1)(images)
    rows = keras.layers.Conv2D(6, 4, strides=4, name="convolution")(rows)
    if normalised:
        rows = keras.layers.BatchNormalization(name="normalisation")(rows)
    rows = keras.layers.ReLU(name="relu")(rows)
    rows = keras.layers.Flatten()(rows)
    features = keras.layers.Dense(12, activation="relu", name="dense")(rows)
    model = keras.Model(images, features, name="tiny")
    how = Preprocessing(20, 16, "x / 128 - 1")
    return ImageEncoder("tiny", model, how, hash_weights(model))
