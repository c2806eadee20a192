"""Networks from pictures to features: VGG-19, EfficientNet-Lite0, Keras, KerasHub, TensorFlow Hub.

A new image encoder is one file with `load(weights) -> ImageEncoder` and one line in
`IMAGE_ENCODERS`: its model takes RGB in 0..255 and normalises it inside. The file imports
TensorFlow when it loads the encoder, not before (`tfxmodal.lazy`).
"""

from __future__ import annotations

from pathlib import Path

from tfxmodal.encoders.image import applications, efficientnet_lite0, hub, keras_hub, trained, vgg19
from tfxmodal.encoders.image.engines import Extractor
from tfxmodal.encoders.image.image_encoder import (
    WITH_MAPS,
    ImageEncoder,
    Preprocessing,
    extract,
    without_maps,
)
from tfxmodal.encoders.weights import initial_weights
from tfxmodal.errors import InputError, choose
from tfxmodal.lazy import keras

IMAGE_ENCODERS = {
    "efficientnet_lite0": efficientnet_lite0.load,
    "vgg19": vgg19.load,
}
NAMED_WEIGHTS = ("imagenet", "random")
BY_PREFIX = ("hub:HANDLE", "keras_hub:PRESET_OR_FOLDER")
"""Encoders that are named by a prefix and what follows it."""


def load_image_encoder(name: str, weights: str = "imagenet", seed: int = 0) -> ImageEncoder:
    """Loads an image encoder by its name.

    Args:
        name: One of `IMAGE_ENCODERS`; a network of `keras.applications`, as Keras writes it or in
            snake case ("ResNet50"); `hub:` and a handle or the folder of a SavedModel; or
            `keras_hub:` and a preset or its folder.
        weights: "imagenet", "random", the path of a weights file, or a folder of weights that
            `trained.save` wrote.
        seed: Seed of random weights; the process' own random numbers go on as they were.

    Raises:
        InputError: If the name is unknown or the weights cannot be had.
    """
    policy = keras.config.dtype_policy()
    # Features outlive the run in a cache: how a method trains must not change them.
    keras.config.set_dtype_policy("float32")
    try:
        with initial_weights(seed):
            return _load(name, weights)
    finally:
        keras.config.set_dtype_policy(policy)


def check_kind(name: str, kind: str) -> None:
    """Checks that an encoder gives `global` or `map` features, before it is loaded.

    Raises:
        InputError: If it does not.
    """
    choose("kind of image features", kind, ("global", "map"))
    if kind == "map" and not gives_maps(name):
        raise without_maps(name)


def gives_maps(name: str) -> bool:
    """Whether an encoder gives `map` features."""
    return name in WITH_MAPS


def _load(name: str, weights: str) -> ImageEncoder:
    if weights not in NAMED_WEIGHTS and Path(weights).is_dir():
        return trained.load(_load(name, "random"), weights)
    if name.startswith("hub:"):
        if weights != "imagenet":
            raise InputError(
                f"A SavedModel has its own weights; received `image_weights` {weights!r}: leave "
                "them out."
            )
        return hub.load(name.removeprefix("hub:"))
    if name.startswith("keras_hub:"):
        return keras_hub.load(name.removeprefix("keras_hub:"), weights)
    if name in IMAGE_ENCODERS:
        return IMAGE_ENCODERS[name](weights)
    networks = applications.networks()
    keras_name = networks.get(name.lower().replace("_", ""))
    if keras_name is None:
        choose("image encoder", name, [*IMAGE_ENCODERS, *networks.values(), *BY_PREFIX])
    return applications.load(keras_name, weights)


__all__ = [
    "IMAGE_ENCODERS",
    "WITH_MAPS",
    "Extractor",
    "ImageEncoder",
    "Preprocessing",
    "check_kind",
    "extract",
    "load_image_encoder",
]
