"""What every text encoder is, and those that a method can train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np

from tfxmodal.data.pairs import Captions
from tfxmodal.lazy import keras, tf


class TextEncoder(Protocol):
    """From texts to features.

    Attributes:
        file: The file in a folder by which `load` knows that `save` wrote it.
        uses_tensorflow_text: Whether its graph has ops of TensorFlow Text, which a server must
            have too.
        words: The vocabulary, or None where nobody can tell it.
        dim: Width of the features.
        fingerprint: A hash of all that decides the features of a text.
        model: Keras functional model from strings `[batch]` to features `[batch, dim]`.
        resources: Layers with vocabularies or graphs of their own, which an export must be told of;
            it finds variables by itself.
        space: A name of the space that its features share with those of an image encoder, which has
            the same name; None where they share none.
        served: Whether `model` can be part of an export.
        limits: What of a text is read at most, as `64 tokens of SigLIP`, each with a function from
            strings `[batch]` to bool `[batch]`: which are longer, and so are cut. None are told
            where all is read, or nobody can tell.
    """

    file: ClassVar[str]
    uses_tensorflow_text: ClassVar[bool]
    space: str | None = None
    served: bool = True
    words: tuple[str, ...] | None
    dim: int
    fingerprint: str
    model: keras.Model
    resources: list[keras.layers.Layer]
    limits: Mapping[str, Callable[[tf.Tensor], tf.Tensor]]

    @classmethod
    def from_name(cls, rest: str, captions: Captions, vocabulary_size: int, progress=None) -> Self:
        """The encoder that a name asks for.

        Args:
            rest: What follows the colon in the name.
            captions: Captions of the training pairs, for an encoder that is fitted to them.
            vocabulary_size: Most words of a vocabulary.
            progress: Wraps an iterable, as tqdm does.

        Raises:
            InputError: If it cannot be had.
        """

    def look_up(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """The words of texts that are read, and which of them it knows.

        Args:
            texts: Strings `[batch]`.

        Returns:
            Strings `[batch, (words)]` and bool `[batch, (words)]`.
        """

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts, `[n, dim]` float32."""

    def save(self, folder: str | Path) -> None:
        """Writes to a folder what `load` needs."""

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: If it is missing or damaged.
        """


class TrainableTextEncoder(TextEncoder, Protocol):
    """A text encoder with weights that can be trained.

    Attributes:
        tokenizer: Keras functional model from strings `[batch]` to ids `[batch, words]` int32.
        network: Keras functional model from ids `[batch, words]` to features `[batch, dim]`; both
            in a row are `model`.
        max_words: Words of a text that are read.
    """

    tokenizer: keras.Model
    network: keras.Model
    max_words: int

    def token_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Ids of texts for `network`: `[n, max_words]` int32, 0 after a text's end."""
