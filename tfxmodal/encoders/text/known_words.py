"""What an encoder knows of texts: which it can read, and which words say nothing to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfxmodal.encoders.text.bag_of_words import BATCH, to_bytes
from tfxmodal.encoders.text.unicode_forms import composed
from tfxmodal.errors import some_of
from tfxmodal.lazy import tf

SHOWN = 5
"""Texts that are named."""


@dataclass(frozen=True)
class KnownWords:
    """How much of texts an encoder knows.

    Attributes:
        words: How many words the texts have, each as often as it occurs.
        known: How many of them are in the vocabulary.
        texts: How many texts there are.
        without: Rows of the texts that hold no known word.
    """

    words: int
    known: int
    texts: int
    without: list[int]

    @classmethod
    def count(cls, encoder, texts: Sequence[str]) -> KnownWords:
        """Looks up the words of texts `[n]`."""
        counts = [np.zeros((0, 2), np.int64)]
        for i in range(0, len(texts), BATCH):
            _, known = encoder.look_up(to_bytes(texts[i : i + BATCH]))
            found = tf.reduce_sum(tf.cast(known, tf.int64), axis=1)
            counts.append(np.stack([known.row_lengths(), found], axis=1))
        words, known = np.concatenate(counts).T
        without = np.flatnonzero(known == 0).tolist()
        return cls(int(words.sum()), int(known.sum()), len(texts), without)

    def told(self, ids: Sequence[str], vocabulary: bool) -> str:
        """The counts as a sentence, or nothing where there is nothing to tell.

        Args:
            ids: `[n]`, names of the texts.
            vocabulary: Whether the encoder's vocabulary can be told.
        """
        parts = []
        if vocabulary:
            share = self.known / max(self.words, 1)
            parts.append(f"{share:.1%} of {self.words:,} words are known")
        if self.without:
            named = some_of([str(ids[row]) for row in self.without], SHOWN)
            parts.append(
                f"{len(self.without):,} of {self.texts:,} texts hold no known word and are scored "
                f"all the same: {named}"
            )
        return "; ".join(parts)


def cut_texts(encoder, texts: Sequence[str]) -> dict[str, int]:
    """How many texts are longer than what an encoder reads of them, by each of its `limits`."""
    batches = [to_bytes(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
    return {
        what: sum(int(tf.math.count_nonzero(are_longer(batch))) for batch in batches)
        for what, are_longer in encoder.limits.items()
    }


def told_cut(cut: Mapping[str, int], texts: int) -> list[str]:
    """What `cut_texts` found in so many texts, a sentence for each limit that cuts any."""
    return [
        f"{number:,} of {texts:,} texts are longer than {what}: the rest of them is not read"
        for what, number in cut.items()
        if number
    ]


def known_texts(encoder, texts: Sequence[str]) -> np.ndarray:
    """Which texts hold a word that an encoder knows, bool `[n]`."""
    known = np.ones(len(texts), bool)
    known[KnownWords.count(encoder, texts).without] = False
    return known


def unknown_words(encoder, texts: Sequence[str]) -> list[list[str]]:
    """The words of each text that an encoder does not know, in their order."""
    words, known = encoder.look_up(to_bytes(texts))
    unknown = tf.ragged.boolean_mask(words, ~known).to_list()
    return [[composed(word.decode()) for word in each] for each in unknown]
