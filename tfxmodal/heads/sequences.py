"""What a recurrent network reads: locations of images, words of texts, or one step."""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.heads.scaling import feature_scaling
from tfxmodal.lazy import keras

STEPS = 49
"""Most steps of a text, as many as a map of 7 x 7 has."""

WINDOW = 3
"""Words that a convolution reads at once."""


@dataclass(frozen=True)
class Sequence:
    """A modality, step by step; all are Keras tensors.

    Attributes:
        rows: What is read of it.
        steps: `[batch, steps, width]`.
        mean: Of the locations, or of the word vectors, `[batch, width]`.
        mask: Which steps there are, bool `[batch, steps]`; None for all.
    """

    rows: keras.KerasTensor
    steps: keras.KerasTensor
    mean: keras.KerasTensor
    mask: keras.KerasTensor | None = None


def feature_sequence(rows, features, scaling: str) -> Sequence:
    """Features of locations `[batch, locations, width]`; one vector `[batch, width]` is one step.

    Args:
        rows: The Keras input.
        features: What is made of it.
        scaling: See `scaling.feature_scaling`.
    """
    scaled = feature_scaling(features.shape[-1], scaling)(features)
    steps = scaled if len(scaled.shape) == 3 else scaled[:, None]
    return Sequence(rows, steps, keras.ops.mean(steps, axis=1))


def word_sequence(network: keras.Model, longest: int, filters: int) -> Sequence:
    """Convolutions over word vectors, and their maximum over words where these are many.

    Padding and words out of the vocabulary have no vector and are no steps.

    Args:
        network: That of a TextCNN, whose word vectors are taken, and trained with what follows.
        longest: Most words of a text.
        filters: Of the convolution.
    """
    from tfxmodal.encoders.text.pad_words import PadWords
    from tfxmodal.encoders.text.text_cnn import FIRST_ID, word_vectors

    ops = keras.ops
    together, steps = words_a_step(longest)
    ids = keras.Input([None], dtype="int32", name="words")
    # Always as wide as the longest text, so that steps do not depend on the batch.
    padded = PadWords(together * steps)(ids)
    vectors, known = word_vectors(network)(padded), padded >= FIRST_ID
    there = ops.cast(known, vectors.dtype)[..., None]
    mean = ops.sum(vectors, axis=1) / ops.maximum(ops.sum(there, axis=1), 1)
    windows = keras.layers.Conv1D(filters, WINDOW, padding="same", activation="relu")(vectors)
    windows = ops.reshape(windows * there, [-1, steps, together, filters])
    mask = ops.any(ops.reshape(known, [-1, steps, together]), axis=2)
    return Sequence(ids, ops.max(windows, axis=2), mean, mask)


def words_a_step(longest: int) -> tuple[int, int]:
    """How many words of texts are a step together, and how many steps there are at most."""
    from tfxmodal.encoders.text.text_cnn import WIDEST

    longest = max(longest, WIDEST)  # Below it a TextCNN pads, too.
    together = -(-longest // STEPS)
    return together, -(-longest // together)
