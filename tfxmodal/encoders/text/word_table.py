"""A vocabulary as a graph looks words up."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from tfxmodal.encoders.text.tokens import CHARACTERS, SEPARATOR, VERSIONS, Version, tokens
from tfxmodal.errors import InputError
from tfxmodal.lazy import keras, tf


class WordTable:
    """The words, or characters, of texts, and which of them are in a vocabulary.

    Args:
        words: The vocabulary.
        version: The rule that it was made with, see `tokens`.
        max_words: Most words of a text that are read, or None for all.

    Attributes:
        keys: The vocabulary in the form of `tokens`.
        rule: What a fingerprint tells of the rule.
        layer: Keras layer from words to their places, from 1 on; 0 for others.
    """

    def __init__(self, words: Sequence[str], version: Version, max_words: int | None = None):
        self._version, self._max_words = version, max_words
        normal = [unicodedata.normalize("NFD", word) for word in words]
        self.keys = list(words) if version == 1 else normal
        self.rule = SEPARATOR if version == 1 else f"tokenizer {version}"
        self.layer = keras.layers.StringLookup(vocabulary=self.keys, name="known_words")
        self.layer.build([None])  # An export takes nothing that was not built.

    def tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Words of texts that are read: `[batch, (words)]`."""
        return tokens(texts, self._version)[:, : self._max_words]

    def are_longer(self, texts: tf.Tensor) -> tf.Tensor:
        """Which texts `[batch]` have more words than are read: bool `[batch]`."""
        return tokens(texts, self._version).row_lengths() > self._max_words

    def __call__(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Words of texts `[batch]`, and which of them are known: `[batch, (words)]` both.

        A space is no character of which a text could be told to be known.
        """
        words = self.tokens(texts)
        if self._version == CHARACTERS:
            words = tf.ragged.boolean_mask(words, words != " ")
        return words, words.with_flat_values(self.layer(words.flat_values) > 0)


def saved_version(path: Path, saved: dict) -> Version:
    """The rule that a file's vocabulary was made with; earlier files do not tell it.

    Raises:
        InputError: If this tfxmodal does not know it.
    """
    version = saved.get("tokenizer", 1)
    if version not in VERSIONS:
        raise InputError(
            f"{path} has words by the tokenizer {version!r}, and this tfxmodal knows "
            f"{', '.join(map(str, VERSIONS))}: update tfxmodal."
        )
    return version
