"""A SavedModel as a tower: by a TensorFlow Hub handle, or from a local folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from keras import layers

from tfxmodal.encoders.image.image_encoder import ImageEncoder
from tfxmodal.errors import InputError
from tfxmodal.lazy import keras, tf

DEFAULT_SIZE = 224


def load(handle: str) -> ImageEncoder:
    """The tower of a SavedModel with the common signature of image models on TensorFlow Hub.

    Its `serving_default` takes RGB in 0..1, `[batch, height, width, 3]`, and gives features
    `[batch, dim]`. Where it leaves height and width open, they are 224.

    Args:
        handle: A URL that `tensorflow_hub` knows, or the folder of a SavedModel.

    Raises:
        InputError: If it cannot be downloaded or read, or its signature is another.
    """
    folder = resolve(handle)
    try:
        network = layers.TFSMLayer(folder, call_endpoint="serving_default", name="saved_model")
        signature = network.call_endpoint_fn
        ((argument, image),) = signature.structured_input_signature[1].items()
        size = image.shape[1] or DEFAULT_SIZE
        (probe,) = signature(**{argument: tf.zeros([1, size, size, 3])}).values()
        _, dim = probe.shape
    # What is no SavedModel, or has another signature, fails in as many ways.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"The SavedModel {handle} is no image tower ({reason}); its "
            "serving_default must take [batch, height, width, 3] and give one [batch, dim]."
        ) from error
    images = keras.Input([size, size, 3], name="images")
    (features,) = network(layers.Rescaling(1 / 255, name="normalise")(images)).values()
    return ImageEncoder(
        name=f"hub:{handle}",
        model=keras.Model(images, layers.Reshape([dim], name="features")(features)),
        resize=size,
        crop=size,
        preprocessing="x / 255",
        weights_hash=hash_files(Path(folder)),
    )


def resolve(handle: str) -> str:
    """The local folder of a handle, downloaded where it is not there yet."""
    if Path(handle).is_dir():
        return handle
    import tensorflow_hub  # Slow to import, and a local folder does not need it.

    try:
        return tensorflow_hub.resolve(handle)
    # Each of its resolvers, file systems and the network beneath has errors of its own.
    except Exception as error:
        raise InputError(
            f"The TensorFlow Hub handle {handle!r} cannot be had ({error}); check it and the "
            "network, or give the folder of a SavedModel."
        ) from error


def hash_files(folder: Path) -> str:
    """A hash of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
