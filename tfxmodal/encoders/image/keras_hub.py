"""Networks of KerasHub as image encoders: SigLIP, CLIP, DINOv2, and others that see."""

from __future__ import annotations

from tfxmodal.encoders.image.image_encoder import ImageEncoder, Preprocessing
from tfxmodal.encoders.places import absolute
from tfxmodal.encoders.presets import keras_hub, kind, load_backbone, loading, shared_space
from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import InputError
from tfxmodal.lazy import keras

FIRST_TOKEN = {"DINOV2", "DINOV3", "DeiT", "ViT"}
"""Kinds of networks whose first token stands for the picture; of others features are averaged."""
DEFAULT_SIDES = 224, 224


def load(preset: str, weights: str = "imagenet") -> ImageEncoder:
    """The encoder of a preset: the vectors of a shared space, or the features of a picture.

    A picture is squeezed to the square that the network takes, as for every encoder here, also
    where the network's authors cut it.

    Args:
        preset: A name that KerasHub knows, or the folder of a preset.
        weights: "imagenet" for the preset's own, or "random".

    Raises:
        InputError: If it cannot be had, or is no network of pictures.
    """
    if weights not in ("imagenet", "random"):
        raise InputError(
            f"A preset of KerasHub has its own weights; received `image_weights` {weights!r}: "
            "leave them out."
        )
    backbone = load_backbone(preset, weights == "imagenet")
    fixed = _input_sides(preset, backbone)
    with loading(preset, "give a preset with the files of its image converter"):
        converter = keras_hub().layers.ImageConverter.from_preset(preset)
        height, width = fixed or converter.image_size or DEFAULT_SIDES
        scale = 1.0 if converter.scale is None else converter.scale
        offset = 0.0 if converter.offset is None else converter.offset
    if height != width:
        raise InputError(
            f"The KerasHub preset {preset} takes pictures of {height} x {width}: give one that "
            "takes squares."
        )
    side = height
    images = keras.Input([side, side, 3], name="images")
    pixels = keras.layers.Rescaling(scale, offset, name="normalise")(images)
    space = shared_space(backbone)
    vectors = backbone.get_vision_embeddings(pixels) if space else _features(backbone, pixels)
    vectors = keras.layers.Flatten(dtype="float32", name="features")(vectors)
    model = keras.Model(images, vectors, name="image_encoder")
    return ImageEncoder(
        name=f"keras_hub:{absolute(preset)}",
        model=model,
        preprocessing=Preprocessing(side, side, f"x * {scale} + {offset}"),
        weights_hash=hash_weights(model),
        space=space if weights == "imagenet" else None,
    )


def _input_sides(preset: str, backbone: keras.Model) -> tuple[int, int] | None:
    """Height and width in pixels of the pictures that a network takes; None for any."""
    shapes = [each.shape for each in keras.tree.flatten(backbone.input) if len(each.shape) == 4]
    if len(shapes) != 1:
        raise InputError(
            f"The KerasHub preset {preset} is a {kind(backbone)}, no network of pictures: give "
            "one, such as a SigLIP, a CLIP or a DINOv2."
        )
    _, height, width, _ = shapes[0]
    return (height, width) if height and width else None


def _features(backbone: keras.Model, pixels):
    """One vector a picture: `[batch, dim]`."""
    named = isinstance(backbone.input, dict)
    found = backbone(dict.fromkeys(backbone.input, pixels) if named else pixels)
    if kind(backbone) in FIRST_TOKEN:
        return found[:, 0]
    locations = tuple(range(1, len(found.shape) - 1))
    return keras.ops.mean(found, axis=locations)
