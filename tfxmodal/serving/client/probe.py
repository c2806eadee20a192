"""A picture and a text that are always the same: what a model makes of them tells models apart."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfxmodal.search.index import SAME

TEXT = "two people with a dog and a red car on the street, a white cat in the green grass"


def picture() -> bytes:
    """A picture in which every colour and edge is a little different."""
    rows, columns = np.mgrid[:64, :64]
    pixels = np.stack([4 * rows, 4 * columns, 8 * (rows // 8 * columns // 8)], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray((pixels % 256).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def is_near(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two answers `[d]` differ by rounding alone."""
    one, other = np.array(one), np.array(other)
    return one.shape == other.shape and np.linalg.norm(one - other) <= SAME * np.linalg.norm(one)
