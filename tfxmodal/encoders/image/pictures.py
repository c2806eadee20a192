"""Picture files decoded by core TensorFlow ops, the same in training as in serving."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from tfxmodal.errors import InputError
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
        "`--on-bad-image skip`."
    )


def decode(contents: tf.Tensor, size: tuple[int, int] = (256, 224)) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file, by core ops that a server can run too.

    The picture is squeezed to `resize` x `resize` and cropped at its centre (DRSL, section 3.2.1:
    256 and 224). Grey becomes three equal channels, CMYK is converted, 16 bits become 8, alpha is
    dropped, of an animation the first frame is taken; EXIF orientation is not applied.

    Args:
        contents: The bytes of the file, a scalar string.
        size: `(resize, crop)` in pixels.

    Returns:
        RGB in 0..255, `[crop, crop, 3]` float32.

    Raises:
        tf.errors.InvalidArgumentError: If the bytes are no whole picture.
    """
    resize, crop = size
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    # Without antialiasing a 12-megapixel photo would lose most pixels, and its features with them.
    image = tf.image.resize(image, [resize, resize], antialias=True)
    start = (resize - crop) // 2
    image = image[start : start + crop, start : start + crop]
    return tf.ensure_shape(image, [crop, crop, 3])


def load_images(
    paths: Iterable[str | Path], size: tuple[int, int] = (256, 224)
) -> Iterator[tuple[int, np.ndarray | BadImage]]:
    """Reads and decodes picture files in threads, a few ahead of the caller.

    Args:
        paths: Picture files.
        size: `(resize, crop)`, see `decode`.

    Yields:
        `(row, picture)` in the order of `paths`: `[crop, crop, 3]` float32, or a `BadImage` where
        the file is missing, empty, cut short, too large or no picture.
    """
    pending = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for row, path in enumerate(paths):
            pending.append((row, pool.submit(_load, path, size)))
            if len(pending) > AHEAD:
                row, future = pending.popleft()
                yield row, future.result()
        for row, future in pending:
            yield row, future.result()


def _load(path: str | Path, size: tuple[int, int]) -> np.ndarray | BadImage:
    try:
        if not Path(path).stat().st_size:
            return BadImage("the file is empty")
        # Reads the header alone: no memory is taken for the pixels yet.
        with Image.open(path) as header:
            width, height = header.size
        if width * height > MAX_PIXELS:
            return BadImage(f"{width} x {height} pixels are more than {MAX_PIXELS:,}")
        return _decoder(size)(Path(path).read_bytes()).numpy()
    except Image.UnidentifiedImageError:
        return BadImage("the file is no picture of a known format")
    except tf.errors.OpError as error:
        return BadImage(error.message.split("\n")[0].split("}} ")[-1])
    # A damaged header can fail anywhere in Pillow; one file never ends a run over many.
    except Exception as error:
        return BadImage(getattr(error, "strerror", None) or str(error))


@lru_cache
def _decoder(size: tuple[int, int]):
    return tf.function(lambda contents: decode(contents, size), [tf.TensorSpec([], tf.string)])
