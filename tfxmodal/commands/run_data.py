"""Flags of the commands that read a trained run's data again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Handling:
    """How images become features; by default as in training."""

    image_weights: str | None = None
    """Weights of the run's image encoder, for a file that has moved."""

    on_bad_image: Literal["refuse", "skip"] | None = None
    """What to do when images cannot be read: end with a list, or leave them out, with their pairs
    where they have some."""

    engine: Literal["auto", "tensorflow", "openvino"] | None = None
    """What runs the image encoder where features are computed."""

    cache_dir: Path | None = None
    """Where features are kept, so that they are computed once."""


@dataclass(frozen=True)
class OwnData(Handling):
    """The run's own dataset, and how images become features; by default as in training."""

    data_dir: Path | None = None
    """Where the run's own dataset is now, for a gallery of it, and for landmarks."""

    dataset_options: tuple[str, ...] | None = None
    """Options of the run's own dataset, in place of those of the training."""

    download: bool | None = None
    """Fetch the run's own dataset, COCO, from its official host (20.4 GB), or go on with it."""
