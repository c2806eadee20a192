"""What a method reads of each modality, by name, and all that its networks need to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras

MODALITIES = ("image", "text")

KINDS = {
    "global": "one vector of features [d]",
    "map": "features of each location [locations, d]",
    "words": "token ids [words]",
    "pixels": "RGB pixels [side, side, 3]",
}
"""The inputs that there are, and the shape of a row of each."""

RAW = frozenset({"words", "pixels"})
"""Those that no encoder computes: a method that reads them trains the encoders' networks too."""


@dataclass(frozen=True)
class InputSpec:
    """A row of one modality as a method reads it.

    Attributes:
        kind: One of `KINDS`.
        shape: Of a row, without the batch.
        dtype: `float32` for features, whole numbers for raw inputs.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    @classmethod
    def of(cls, kind: str, rows) -> InputSpec:
        """The spec of rows `[n, ...]`."""
        dtype = np.dtype(getattr(rows, "dtype", np.float32))
        whole = dtype.kind in "iu"
        return cls(kind, tuple(rows.shape[1:]), dtype.name if whole else "float32")

    @property
    def raw(self) -> bool:
        """Whether it is read as it came, instead of as features."""
        return self.kind in RAW


@dataclass(frozen=True)
class MethodInputs:
    """Both modalities as a method reads them: from this alone its networks are built.

    Attributes:
        image: The images.
        text: The texts.
        classes: How many there are, or None without labels.
        networks: By modality, for raw inputs: the network from raw rows to features, which the
            method trains too.
    """

    image: InputSpec
    text: InputSpec
    classes: int | None = None
    networks: Mapping[str, keras.Model] = field(default_factory=dict)

    @classmethod
    def of(
        cls, train: Pairs, kinds: Mapping[str, str] | None = None, networks=None
    ) -> MethodInputs:
        """The inputs that training pairs are.

        Args:
            train: Training pairs, of rows that methods read.
            kinds: The kind of `image` and of `text`, by default `global`.
            networks: See the attributes.
        """
        kinds = kinds or {"image": "global", "text": "global"}
        return cls(
            InputSpec.of(kinds["image"], train.images),
            InputSpec.of(kinds["text"], train.texts),
            None if train.labels is None else train.labels.shape[1],
            networks or {},
        )

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of `image` and of `text`."""
        return {"image": self.image.kind, "text": self.text.kind}

    def modality(self, name: str) -> InputSpec:
        """The spec of `image` or `text`."""
        return {"image": self.image, "text": self.text}[name]

    def features(self, name: str) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Where a network of `image` or `text` begins: what it reads, and the features it is above.

        They are the same, but for raw inputs, whose features their network makes.
        """
        spec, below = self.modality(name), self.networks.get(name)
        if below is None:
            rows = keras.Input(spec.shape, name="features")
            return rows, rows
        raw = keras.Input(below.input_shape[1:], dtype=spec.dtype, name="raw")
        return raw, below(keras.ops.cast(raw, below.inputs[0].dtype))

    def to_json(self) -> dict:
        """What `from_json` reads; networks are not part of it."""
        return {"image": asdict(self.image), "text": asdict(self.text), "classes": self.classes}

    @classmethod
    def from_json(cls, saved: dict, networks=None) -> MethodInputs:
        """From what `to_json` wrote."""
        image, text = (
            InputSpec(**saved[name] | {"shape": tuple(saved[name]["shape"])})
            for name in ("image", "text")
        )
        return cls(image, text, saved["classes"], networks or {})
