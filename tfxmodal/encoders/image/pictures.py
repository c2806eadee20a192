"""Picture files decoded by core TensorFlow ops, the same in training as in serving."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tfxmodal.encoders.image.headers import count_pixels, is_jpeg
from tfxmodal.encoders.image.image_encoder import Preprocessing
from tfxmodal.errors import InputError, first_line
from tfxmodal.lazy import tf

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: decoded, they would take 0.3 GB and more in each thread."""

THREADS = 4
AHEAD = 32
"""Pictures decoded ahead of the caller: a batch."""


@dataclass(frozen=True)
class BadImage:
    """A picture that could not be read, and why."""

    reason: str


def bad_images(bad: Mapping[int | str, str], n: int) -> InputError:
    """The error for pictures that cannot be read: how many, the first three, what to do.

    Args:
        bad: The reasons, by row.
        n: How many pictures there are.
    """
    some = "; ".join(f"row {row}: {reason}" for row, reason in list(bad.items())[:3])
    return InputError(
        f"{len(bad)} of {n} images are bad ({some}); repair them, or leave them out with "
        "`on_bad_image` skip."
    )


def decode(contents: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file, by core ops that a server can run too.

    The picture is squeezed to a square and cropped at its centre. Grey becomes three equal
    channels, CMYK is converted, 16 bits become 8, alpha is dropped, of an animation the first frame
    is taken; EXIF orientation is not applied.

    Args:
        contents: The bytes of the file, a scalar string.
        preprocessing: The sides of the square and of the crop; the model normalises.

    Returns:
        RGB in 0..255, `[crop, crop, 3]` float32.

    Raises:
        tf.errors.InvalidArgumentError: If the bytes are no whole picture.
    """
    resize, crop = preprocessing.resize, preprocessing.crop
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    # Without antialiasing a 12-megapixel photo would lose most pixels, and its features with them.
    image = tf.image.resize(image, [resize, resize], antialias=True)
    start = (resize - crop) // 2
    image = image[start : start + crop, start : start + crop]
    return tf.ensure_shape(image, [crop, crop, 3])


def load_images(
    paths: Iterable[str | Path], preprocessing: Preprocessing
) -> Iterator[tuple[int, np.ndarray | BadImage]]:
    """Reads and decodes picture files in threads, a few ahead of the caller.

    Args:
        paths: Picture files.
        preprocessing: See `decode`.

    Yields:
        `(row, picture)` in the order of `paths`: `[crop, crop, 3]` float32, or a `BadImage` where
        the file is missing, empty, cut short, too large or no picture.
    """
    pending = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for row, path in enumerate(paths):
            pending.append((row, pool.submit(_load, path, preprocessing)))
            if len(pending) > AHEAD:
                row, future = pending.popleft()
                yield row, future.result()
        for row, future in pending:
            yield row, future.result()


def _load(path: str | Path, preprocessing: Preprocessing) -> np.ndarray | BadImage:
    try:
        contents = Path(path).read_bytes()
        if not contents:
            return BadImage("the file is empty")
        pixels = int(_size()(contents))  # By the header alone: nothing is decoded yet.
        if not pixels:
            return BadImage("the file is no picture of a known format")
        if pixels > MAX_PIXELS:
            return BadImage(f"{pixels:,} pixels are more than {MAX_PIXELS:,}")
        return _decoder(preprocessing)(contents).numpy()
    except OSError as error:
        return BadImage(error.strerror or first_line(error))
    except tf.errors.OpError as error:
        return BadImage(error.message.split("\n")[0].split("}} ")[-1])


@cache
def _decoder(preprocessing: Preprocessing):
    contents = tf.TensorSpec([], tf.string)
    return tf.function(lambda contents: decode(contents, preprocessing), [contents])


@cache
def _size():
    """A graph from a file's bytes to its pixels, 0 where it is no picture of a known format."""

    def pixels(contents):
        return tf.cond(
            is_jpeg(contents[None])[0],
            lambda: tf.reduce_prod(tf.image.extract_jpeg_shape(contents, tf.int64)[:2]),
            lambda: count_pixels(contents[None])[0],
        )

    return tf.function(pixels, [tf.TensorSpec([], tf.string)])
