"""A SavedModel as a text encoder: by a TensorFlow Hub handle, or from a local folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tfxmodal.encoders.places import absolute
from tfxmodal.encoders.saved_models import resolve, serving_default_of
from tfxmodal.encoders.text.bag_of_words import encode_texts
from tfxmodal.encoders.text.by_reference import ByReference
from tfxmodal.encoders.text.tokens import tokens
from tfxmodal.io.hashing import hash_files
from tfxmodal.lazy import keras, tf

BATCH = 128


class HubText(ByReference):
    """Sentence embeddings by a SavedModel, with the interface of `BagOfWords`.

    Its `serving_default` takes strings `[batch]` and gives vectors `[batch, dim]`, as text
    embeddings on TensorFlow Hub do; it may use the ops of TensorFlow Text.

    Attributes:
        handle: A URL that `tensorflow_hub` knows, or the folder of a SavedModel.
        model: Keras functional model from strings `[batch]` to vectors `[batch, dim]`.
        dim: Width of the vectors.
        fingerprint: A hash of the SavedModel's files.
    """

    file = "text_encoder.json"
    named_by, what = "handle", "SavedModel"
    uses_tensorflow_text = True
    space = None
    served = True
    words = None
    limits = MappingProxyType({})

    def __init__(self, handle: str):
        """Loads the SavedModel.

        Raises:
            InputError: If it cannot be downloaded or read, or its signature is another.
        """
        import tensorflow_text  # noqa: F401, slow to import; registers its ops

        folder = resolve(handle)
        must = "take strings [batch] and give one [batch, dim]"
        with serving_default_of(handle, "text encoder", must):
            network = keras.layers.TFSMLayer(
                folder, call_endpoint="serving_default", name="saved_model"
            )
            (probe,) = network(tf.constant(["a probe"])).values()
            _, dim = probe.shape
        texts = keras.Input((), dtype="string", name="text")
        (vectors,) = network(texts).values()
        vectors = keras.layers.Reshape([dim], dtype="float32", name="vectors")(vectors)
        self.handle = absolute(handle)
        self.model = keras.Model(texts, vectors, name="text_encoder")
        self.dim = dim
        self.resources = [network]
        self.fingerprint = hash_files(Path(folder))

    def look_up(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Words of texts, all of them as known, since nobody can tell its vocabulary."""
        words = tokens(texts)
        return words, words.with_flat_values(tf.ones_like(words.flat_values, tf.bool))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: `[n, dim]` float32."""
        return encode_texts(self.model, texts, BATCH)
