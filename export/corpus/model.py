"""An exported model as it embeds: its description, and its answers to pictures or texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from pyarrow import fs

from corpus import InputError
from corpus.containers import FILE, pictures_of
from corpus.places import check_tensorflow_reads, joined, located, read
from corpus.sources import PATH

READERS = 32
"""Files that are read at once."""

FAULTS = {
    "images": "it is no whole JPEG, PNG, GIF, BMP or WebP picture, or too large",
    "texts": "it holds no word that the model knows, or is too long",
}


@dataclass(frozen=True)
class Model:
    """An exported version that embeds.

    Attributes:
        folder: The version's place.
        about: What its `signatures.json` says.
        gallery: `images` or `texts`.
    """

    folder: str
    about: dict
    gallery: str

    @classmethod
    def find(cls, place: str, gallery: str) -> Model:
        """The version at MODELS/NAME/VERSION, or the highest one at MODELS/NAME.

        Raises:
            InputError: If there is none, it does not embed what the gallery is of, or TensorFlow
                cannot read it there.
        """
        check_tensorflow_reads("--model", place)
        system, path = located(place)
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        versions = [int(each.base_name) for each in found if each.base_name.isdecimal()]
        folder = joined(place.rstrip("/"), str(max(versions))) if versions else place.rstrip("/")
        try:
            about = json.loads(read(joined(folder, "signatures.json")))
        except (OSError, ValueError) as error:
            raise InputError(
                f"--model {place} holds no exported model ({error}): give MODELS/NAME or "
                "MODELS/NAME/VERSION of export/export_savedmodel.py."
            ) from None
        model = cls(folder, about, gallery)
        if model.signature not in about["signatures"]:
            raise InputError(
                f"--model {folder} has no signature {model.signature}, which --gallery {gallery} "
                f"needs; it has {', '.join(about['signatures'])}."
            )
        if "fingerprint" not in about:
            raise InputError(f"--model {folder} was made by an earlier version: export it again.")
        return model

    @property
    def signature(self) -> str:
        """What embeds an item."""
        return f"embed_{self.gallery.removesuffix('s')}"

    def load(self):
        """The SavedModel."""
        import tensorflow as tf

        if self.about["tensorflow_text"]:
            import tensorflow_text  # noqa: F401  (registers its operations)
        return tf.saved_model.load(self.folder)


Vectors = tuple[np.ndarray, dict[int, str]]
"""Vectors `[n, d]` float32, and the reasons why some are none, by row."""


def embed(loaded, model: Model, items: pa.Table, image: str, batch: int) -> Vectors:
    """Embeds items.

    Args:
        loaded: `model.load()`.
        model: The model.
        items: Rows of `sources.read_source`.
        image: Name of the column of pictures.
        batch: Items that the model is given at once.
    """
    function = loaded.signatures[model.signature]
    parts, reasons, contents = [], {}, contents_of(items, model.gallery, image)
    for start in range(0, len(items), batch):
        rows = list(islice(contents, batch))
        for row, content in enumerate(rows):
            if isinstance(content, OSError):
                reasons[start + row], rows[row] = f"cannot be read: {content}", b""
        vectors, found = _answers(function, model, rows)
        parts.append(vectors)
        reasons = {start + row: reason for row, reason in found.items()} | reasons
    return np.concatenate(parts), reasons


def _answers(function, model: Model, rows: list[bytes]) -> Vectors:
    """Vectors of contents, and reasons by row. One bad row does not harm the others."""
    import tensorflow as tf

    name = model.gallery.removesuffix("s")
    try:
        outputs = function(**{name: tf.constant(rows, tf.string)})
    except tf.errors.InvalidArgumentError as error:  # An export that refuses bad rows.
        if len(rows) == 1:
            dim = function.structured_outputs["embedding"].shape[-1]
            return np.zeros([1, dim], np.float32), {0: f"{FAULTS[model.gallery]} ({error.message})"}
        parts = [_answers(function, model, [row]) for row in rows]
        vectors = np.concatenate([vectors for vectors, _ in parts])
        return vectors, {row: found[0] for row, (_, found) in enumerate(parts) if found}
    valid = outputs["valid"].numpy() if "valid" in outputs else np.ones(len(rows), bool)
    return outputs["embedding"].numpy(), dict.fromkeys(
        np.flatnonzero(~valid).tolist(), FAULTS[model.gallery]
    )


def contents_of(items: pa.Table, gallery: str, image: str) -> Iterator[bytes | OSError]:
    """What a model is given of items, in their order; see `embed`."""
    if gallery == "texts":
        return (text.encode() for text in items["text"].to_pylist())
    if FILE in items.column_names and PATH not in items.column_names:
        return pictures_of(items, image)
    return _files(items[PATH].to_pylist())


def _files(places: Iterable[str]) -> Iterator[bytes | OSError]:
    places = iter(places)
    with ThreadPoolExecutor(READERS) as pool:
        while some := list(islice(places, READERS)):
            yield from pool.map(_read, some)


def _read(place: str) -> bytes | OSError:
    try:
        return read(place)
    except OSError as error:
        return error
