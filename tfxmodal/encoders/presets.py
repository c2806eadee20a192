"""Pretrained networks of KerasHub, by the name of a preset or from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import InputError, first_line
from tfxmodal.lazy import keras

REMEDY = "give the folder of a preset, or a name that KerasHub knows, and check the network"


def keras_hub() -> ModuleType:
    """The package, which takes a second to import.

    Raises:
        InputError: If it is not installed.
    """
    keras.config.backend()  # Whoever imports TensorFlow first decides what it says at its start.
    try:
        import keras_hub
    except ImportError as error:
        raise InputError(
            f"Networks of KerasHub need a package more ({error}): pip install '.[hub]'."
        ) from error
    return keras_hub


@contextmanager
def loading(preset: str, remedy: str) -> Iterator[None]:
    """Loads parts of a preset in its block.

    Args:
        preset: The preset, for the message.
        remedy: What to give instead, for the message.

    Raises:
        InputError: If a part is missing, damaged or cannot be downloaded.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # KerasHub and what it downloads with raise errors of every kind.
        told = first_line(error).partition(" A preset must be")[0]  # A list would follow.
        raise InputError(
            f"The KerasHub preset {preset} cannot be loaded ({told}): {remedy}."
        ) from error


def load_backbone(preset: str, weights: bool = True, remedy: str = REMEDY) -> keras.Model:
    """The network of a preset, in float32.

    Args:
        preset: A name that KerasHub knows, which is downloaded; or a folder, which is not.
        weights: Whether the preset's weights are loaded; else they are random.
        remedy: See `loading`.

    Raises:
        InputError: If it cannot be had.
    """
    with loading(preset, remedy):
        return keras_hub().models.Backbone.from_preset(
            preset, load_weights=weights, dtype="float32"
        )


def shared_space(backbone: keras.Model) -> str | None:
    """A name of the space that a network's images and texts share, which its weights decide.

    Returns:
        The same for images and texts of one network alone; None where it has no common space.
    """
    both = ("get_vision_embeddings", "get_text_embeddings")
    return hash_weights(backbone) if all(hasattr(backbone, each) for each in both) else None


def kind(backbone: keras.Model) -> str:
    """The network's kind: `SigLIP`, `CLIP`, `Bert`, `DINOV2` and so on."""
    return type(backbone).__name__.removesuffix("Backbone")
