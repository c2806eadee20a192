"""Several text encoders as one: their features side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Captions
from tfxmodal.encoders.text.bag_of_words import document
from tfxmodal.encoders.text.text_encoder import TextEncoder
from tfxmodal.encoders.text.tokens import tokens
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.reading import read_json
from tfxmodal.lazy import keras, tf

SAMPLE = 1024
"""Training texts that the scales are fitted to: enough for a few percent, and soon encoded."""


class JoinedText:
    """The features of several encoders, one after another, each divided by its spread.

    Its spread is the root of the total variance of a part's features over training texts. So all
    parts have variance 1 in all, whatever their widths and units: a ridge, which is relative to
    the variance of a feature, a direction of largest covariance and the first steps of a network
    see them alike, and none drowns the others.

    Attributes:
        parts: The encoders.
        scales: One for each part: 1 / spread.
        model: Keras functional model from strings `[batch]` to features `[batch, dim]`.
    """

    file = "joined_text.json"
    uses_tensorflow_text = True
    space = None

    def __init__(self, parts: Sequence[TextEncoder], scales: Sequence[float]):
        self.parts, self.scales = list(parts), [float(scale) for scale in scales]
        self.uses_tensorflow_text = any(part.uses_tensorflow_text for part in parts)
        self.served = all(part.served for part in parts)
        self.resources = [layer for part in parts for layer in part.resources]
        self.dim = sum(part.dim for part in parts)
        self.fingerprint = fingerprint([part.fingerprint for part in parts], self.scales)
        self.limits = {what: each for part in parts for what, each in part.limits.items()}
        known = [part.words for part in parts]
        self.words = None if None in known else tuple(dict.fromkeys(sum(known, ())))
        texts = keras.Input((), dtype="string", name="text")
        columns = []
        for number, (part, scale) in enumerate(zip(parts, self.scales, strict=True)):
            model = keras.Model(part.model.input, part.model.output, name=f"part_{number}")
            columns.append(keras.layers.Rescaling(scale, dtype="float32")(model(texts)))
        joined = keras.layers.Concatenate(dtype="float32", name="joined")(columns)
        self.model = keras.Model(texts, joined, name="text_encoder")

    @classmethod
    def from_name(
        cls, rest: str, captions: Captions, vocabulary_size: int, progress=None
    ) -> JoinedText:
        """The encoders whose names have a `+` between them, scaled by the training texts."""
        from tfxmodal.encoders.text import load_text_encoder, names_of_parts

        names = names_of_parts(rest)
        parts = [load_text_encoder(name, captions, vocabulary_size, progress) for name in names]
        rows = np.linspace(0, len(captions) - 1, min(len(captions), SAMPLE)).astype(int)
        texts = [document(captions[row]) for row in rows]
        variances = [part.encode(texts).var(axis=0, dtype=np.float64).sum() for part in parts]
        return cls(parts, [1 / np.sqrt(variance or 1) for variance in variances])

    def look_up(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Words of texts, of which those are known that a part knows."""
        words = tokens(texts)
        known = [tf.reduce_any(part.look_up(words.flat_values)[1], axis=1) for part in self.parts]
        return words, words.with_flat_values(tf.reduce_any(tf.stack(known), axis=0))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts: `[n, dim]` float32."""
        columns = [
            np.float32(scale) * part.encode(texts)
            for part, scale in zip(self.parts, self.scales, strict=True)
        ]
        return np.concatenate(columns, axis=1)

    def save(self, folder: str | Path) -> None:
        """Writes each part to a folder in `text_parts`, and the scales to `joined_text.json`."""
        for number, part in enumerate(self.parts):
            place = _place(folder, number)
            place.mkdir(parents=True, exist_ok=True)
            part.save(place)
        with whole_file(Path(folder) / self.file) as file:
            file.write(json.dumps({"scales": self.scales}, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> JoinedText:
        """Reads what `save` wrote.

        Raises:
            InputError: If a part is missing, damaged or another by now.
        """
        from tfxmodal.encoders.text import open_text_encoder

        scales = read_json(Path(folder) / cls.file)["scales"]
        return cls([open_text_encoder(_place(folder, i)) for i in range(len(scales))], scales)


def _place(folder: str | Path, number: int) -> Path:
    return Path(folder) / "text_parts" / str(number)
