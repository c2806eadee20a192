"""Networks from raw input to features: VGG-19, EfficientNet-Lite0, Keras, TensorFlow Hub.

A new image encoder is one file with `load(weights) -> ImageEncoder` and one line in
`IMAGE_ENCODERS`: its model takes RGB in 0..255 and normalises it inside.
"""

from __future__ import annotations

from pathlib import Path

from tfxmodal.encoders.image import applications, efficientnet_lite0, hub, trained, vgg19
from tfxmodal.encoders.image.image_encoder import ImageEncoder, extract
from tfxmodal.errors import InputError, choose
from tfxmodal.lazy import keras

IMAGE_ENCODERS = {
    "efficientnet_lite0": efficientnet_lite0.load,
    "vgg19": vgg19.load,
}


def load_image_encoder(name: str, weights: str = "imagenet", seed: int = 0) -> ImageEncoder:
    """Loads an image tower by its name.

    Args:
        name: One of `IMAGE_ENCODERS`; a network of `keras.applications`, as Keras writes it or in
            snake case ("ResNet50"); or `hub:` and a handle or the folder of a SavedModel.
        weights: "imagenet", "random", the path of a weights file, or a folder of weights that
            `trainers/train_towers.py` trained.
        seed: Seed of random weights (Keras' global one is set).

    Raises:
        InputError: If the name is unknown or the weights cannot be had.
    """
    policy = keras.config.dtype_policy()
    # Features outlive the run in a cache: how a method trains must not change them.
    keras.config.set_dtype_policy("float32")
    try:
        return _load(name, weights, seed)
    finally:
        keras.config.set_dtype_policy(policy)


def _load(name: str, weights: str, seed: int) -> ImageEncoder:
    if Path(weights).is_dir():
        return trained.load(_load(name, "random", seed), weights)
    if name.startswith("hub:"):
        if weights != "imagenet":
            raise InputError(
                f"A SavedModel has its own weights; received weights {weights!r}: leave them out."
            )
        return hub.load(name.removeprefix("hub:"))
    if weights == "random":
        keras.utils.set_random_seed(seed)
    keras_name = applications.NETWORKS.get(name.lower().replace("_", ""))
    if keras_name:
        return applications.load(keras_name, weights)
    choose("image tower", name, [*IMAGE_ENCODERS, *applications.NETWORKS.values(), "hub:HANDLE"])
    return IMAGE_ENCODERS[name](weights)


__all__ = ["IMAGE_ENCODERS", "ImageEncoder", "extract", "load_image_encoder"]
