"""A SavedModel as an image encoder: by a TensorFlow Hub handle, or from a local folder."""

from __future__ import annotations

from pathlib import Path

from tfxmodal.encoders.image.image_encoder import ImageEncoder, Preprocessing
from tfxmodal.encoders.places import absolute
from tfxmodal.encoders.saved_models import resolve, serving_default_of
from tfxmodal.io.hashing import hash_files
from tfxmodal.lazy import keras, tf

DEFAULT_SIZE = 224


def load(handle: str) -> ImageEncoder:
    """The encoder of a SavedModel with the common signature of image models on TensorFlow Hub.

    Its `serving_default` takes RGB in 0..1, `[batch, height, width, 3]`, and gives features
    `[batch, dim]`. Where it leaves height and width open, they are 224.

    Args:
        handle: A URL that `tensorflow_hub` knows, or the folder of a SavedModel.

    Raises:
        InputError: If it cannot be downloaded or read, or its signature is another.
    """
    folder = resolve(handle)
    must = "take [batch, height, width, 3] and give one [batch, dim]"
    with serving_default_of(handle, "image encoder", must):
        network = keras.layers.TFSMLayer(
            folder, call_endpoint="serving_default", name="saved_model"
        )
        signature = network.call_endpoint_fn
        ((argument, image),) = signature.structured_input_signature[1].items()
        size = image.shape[1] or DEFAULT_SIZE
        (probe,) = signature(**{argument: tf.zeros([1, size, size, 3])}).values()
        _, dim = probe.shape
    images = keras.Input([size, size, 3], name="images")
    (features,) = network(keras.layers.Rescaling(1 / 255, name="normalise")(images)).values()
    return ImageEncoder(
        name=f"hub:{absolute(handle)}",
        model=keras.Model(images, keras.layers.Reshape([dim], name="features")(features)),
        preprocessing=Preprocessing(size, size, "x / 255"),
        weights_hash=hash_files(Path(folder)),
    )
