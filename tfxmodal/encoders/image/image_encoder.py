"""What every image encoder is, and how features are extracted by one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tfxmodal.encoders.image.folding import folded
from tfxmodal.encoders.image.with_openvino import OpenVinoModel
from tfxmodal.encoders.places import without_place
from tfxmodal.errors import InputError, choose
from tfxmodal.lazy import keras, tf

WITH_MAPS = ("efficientnet_lite0", "vgg19")
"""Names of the encoders that give maps too."""


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a picture before it is encoded (DRSL, section 3.2.1: 256 and 224).

    Attributes:
        resize: Side in pixels of the square to which a picture is squeezed.
        crop: Side in pixels of the crop at the square's centre: the model's input.
        normalisation: What the model does to RGB in 0..255 first, in words.
    """

    resize: int
    crop: int
    normalisation: str


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """A network from pictures to features.

    Attributes:
        name: The name by which `load_image_encoder` knows it, with a folder's absolute path.
        model: RGB float32 in 0..255, `[batch, crop, crop, 3]`, to `global` features `[batch, dim]`.
            The normalisation is part of it, so that an export needs nothing else.
        preprocessing: What happens to a picture's pixels before.
        weights_hash: A hash of the weights of `model` (see `tfxmodal.encoders.weights`).
        map_model: The same input, through layers of `model`, to `map` features `[batch, locations,
            channels]`, locations row by row; None where the encoder has none.
        license: The licence of the weights and where they come from; None where it is not known.
        space: A name of the space that its features share with those of a text encoder, which has
            the same name; None where they share none.
    """

    name: str
    model: keras.Model
    preprocessing: Preprocessing
    weights_hash: str
    map_model: keras.Model | None = None
    license: str | None = None
    space: str | None = None

    @property
    def dim(self) -> int:
        """Width of the global features."""
        return self.model.output_shape[-1]

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the features of a picture; where a folder lies does not."""
        return self.fingerprint_by(without_place(self.name))

    def is_known_by(self, fingerprint: str, name: str) -> bool:
        """Whether a run that names it so has this fingerprint of it.

        Runs of earlier versions know an encoder by its name as it was written.
        """
        return fingerprint in (self.fingerprint, self.fingerprint_by(name))

    def fingerprint_by(self, name: str) -> str:
        """The same with a name as it was written, by which runs of earlier versions know it."""
        how = self.preprocessing
        parts = name, how.resize, how.crop, how.normalisation, self.weights_hash
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of features that it gives."""
        return ("global",) if self.map_model is None else ("global", "map")

    def model_of(self, kind: str) -> keras.Model:
        """The model that gives a kind of features.

        Raises:
            InputError: If the encoder gives none of that kind.
        """
        choose("kind of image features", kind, ("global", "map"))
        if kind not in self.kinds:
            raise without_maps(self.name)
        return self.map_model if kind == "map" else self.model

    @cached_property
    def folded(self) -> ImageEncoder:
        """The encoder as it is exported, faster, of its weights as they are now: `folding.folded`.

        What is trained on features reads those of the network as it is: a training ends elsewhere,
        in the fourth digit of its metrics, where they differ by rounding.
        """
        of_maps = self.map_model and folded(self.map_model)
        return replace(self, model=folded(self.model), map_model=of_maps)

    @cached_property
    def _graphs(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        return {kind: self._graph(self.model_of(kind)) for kind in self.kinds}

    def _graph(self, model: keras.Model):
        side = self.preprocessing.crop
        spec = tf.TensorSpec([None, side, side, 3], tf.float32)
        return tf.function(lambda images: model(images, training=False), [spec], autograph=False)

    def by_openvino(self, kind: str) -> OpenVinoModel:
        """The same graph run by OpenVINO, compiled once.

        Raises:
            Exception: Of any kind, where OpenVINO cannot run it.
        """
        if kind not in self._compiled:
            self._compiled[kind] = OpenVinoModel(self._graphs[kind].get_concrete_function())
        return self._compiled[kind]

    @cached_property
    def _compiled(self) -> dict[str, OpenVinoModel]:
        return {}


def without_maps(name: str) -> InputError:
    """The error for an encoder that is asked for a map and has none."""
    return InputError(
        f"The image encoder {name} gives no `map` features; use one of: {', '.join(WITH_MAPS)}."
    )


def extract(
    encoder: ImageEncoder, images: np.ndarray, kind: str = "global", batch_size: int = 32
) -> np.ndarray:
    """Features of pictures, by a graph compiled once an encoder.

    Args:
        encoder: The network.
        images: RGB 0..255, `[n, crop, crop, 3]`.
        kind: `global` or `map`.
        batch_size: Pictures at a time.

    Returns:
        Features float32, `[n, dim]` or `[n, locations, channels]`.

    Raises:
        InputError: If the encoder gives no features of that kind.
    """
    features = np.empty((len(images), *encoder.model_of(kind).output_shape[1:]), np.float32)
    for i in range(0, len(images), batch_size):
        batch = np.asarray(images[i : i + batch_size], np.float32)
        features[i : i + batch_size] = encoder._graphs[kind](batch)
    return features
