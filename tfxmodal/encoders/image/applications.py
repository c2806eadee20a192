"""Any network of `keras.applications` as an encoder: its last features, averaged by location."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType

from tfxmodal.encoders.image.image_encoder import ImageEncoder, Preprocessing
from tfxmodal.encoders.weights import DAMAGED, hash_weights
from tfxmodal.errors import InputError, first_line
from tfxmodal.lazy import keras

# Sides of the inputs that are not 224 pixels: Keras tells them in its documentation alone.
SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}


@cache
def networks() -> dict[str, str]:
    """The networks of this Keras: as Keras writes them, by their name in lower case."""
    names = {name for name in vars(keras.applications) if name[0].isupper()}
    return {name.lower(): name for name in sorted(names - {"VGG19"})}  # it has a file of its own


def load(name: str, weights: str = "imagenet") -> ImageEncoder:
    """A network of `keras.applications` up to its average pooling, at its own input size.

    Args:
        name: One of `networks`' values, such as "ResNet50".
        weights: "imagenet" (downloaded by Keras), "random", or the path of a weights file without
            the classifier, as Keras gives it (`..._notop.h5`).

    Raises:
        InputError: If the weights cannot be had.
    """
    size = SIZES.get(name, 224)

    def build(weights):
        return getattr(keras.applications, name)(
            include_top=False, pooling="avg", weights=weights, input_shape=(size, size, 3)
        )

    module = _module(name)
    model = behind_preprocessing(load_weights(build, weights, name), module, name.lower())
    return ImageEncoder(
        name=name.lower(),
        model=model,
        preprocessing=Preprocessing(size, size, f"{module.__name__}.preprocess_input"),
        weights_hash=hash_weights(model),
    )


def load_weights(
    build: Callable[[str | None], keras.Model], weights: str, name: str
) -> keras.Model:
    """Builds a Keras network with the weights that the user names.

    Args:
        build: Gives the network from "imagenet" (Keras downloads it) or None (random).
        weights: "imagenet", "random", or the path of a weights file.
        name: The network's name in errors.

    Returns:
        The network.

    Raises:
        InputError: If the download fails, or the file is missing, damaged or another network's.
    """
    if weights == "random":
        return build(None)
    # Keras raises an Exception of no other kind where a download fails.
    failures = (Exception,) if weights == "imagenet" else (*DAMAGED, UserWarning)
    try:
        if weights == "imagenet":
            return build("imagenet")
        network = build(None)
        with warnings.catch_warnings():
            # Keras only warns where the file lacks weights that the network has.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(weights)
        return network
    except failures as error:
        raise InputError(
            f"The weights {weights!r} of {name} cannot be had ({first_line(error)}); give its "
            'Keras weights file as `image_weights`, or "random" to try things out.'
        ) from error


def behind_preprocessing(network: keras.Model, module: ModuleType, name: str) -> keras.Model:
    """A network behind the `preprocess_input` of its Keras module."""
    images = keras.Input(network.input_shape[1:], name="images")
    return keras.Model(images, network(module.preprocess_input(images)), name=name)


def _module(name: str) -> ModuleType:
    """The public module with a network's `preprocess_input`: of the name where it is defined."""
    defined_in = getattr(keras.applications, name).__module__
    return getattr(keras.applications, defined_in.rpartition(".")[2])
