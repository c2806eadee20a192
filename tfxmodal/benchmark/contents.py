"""What settings name on the disk: trainings by other weights at the same place are others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfxmodal.encoders.text import names_of_parts
from tfxmodal.io.hashing import hash_file, hash_files
from tfxmodal.training.model_card import WEIGHTS
from tfxmodal.training.settings import Settings


def weights_of(settings: Settings) -> Iterator[Path]:
    """The files and folders of weights, encoders and word vectors that are there."""
    data, teacher = settings.data, getattr(settings.config, "teacher", None)
    encoders = (data.image_encoder, *names_of_parts(data.text_encoder))
    named = [name.partition(":")[2] for name in encoders]
    paths = [Path(name) for name in (data.image_weights, data.word_vectors, *named) if name]
    if data.encoders:
        paths += [data.encoders / modality for modality in ("image", "text")]
    if teacher:  # Its folder changes with each evaluation.
        paths += [teacher / name for name in WEIGHTS]
    yield from (path for path in paths if path.exists())


def content_hash(path: Path) -> str:
    """A hash of a file, or of all files in a folder."""
    return hash_files(path) if path.is_dir() else hash_file(path).hex()
