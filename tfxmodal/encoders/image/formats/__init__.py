"""Picture files by their formats, read by core TensorFlow ops, the same in training as in serving.

A format is a module with `known`, `header` and `read`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from tfxmodal.encoders.image.formats import bmp, gif, jpeg, png, webp
from tfxmodal.encoders.image.formats.file_bytes import FileBytes, apart
from tfxmodal.encoders.image.formats.picture import Picture
from tfxmodal.encoders.image.with_pillow import MAX_PIXELS
from tfxmodal.lazy import tf

KINDS = {"JPEG": jpeg, "PNG": png, "GIF": gif, "BMP": bmp, "WebP": webp}
"""By the names of `tfxmodal.io.picture_kinds`."""
OTHERS = (png, gif, bmp, webp)
"""The formats beside JPEG, which most photos are."""
START = 70
"""Bytes by which a file is known."""


are_jpeg = jpeg.known


def fault(kind: str, contents: tf.Tensor) -> tf.Tensor:
    """What is wrong with a file, as far as it tells without being decoded.

    Args:
        kind: One of `KINDS`.
        contents: The bytes of the file, a scalar string.

    Returns:
        A scalar string, empty where nothing is seen.
    """
    return _fault(KINDS[kind], contents)


def read(contents: tf.Tensor, kind: str | None = None) -> Picture:
    """Decodes a file.

    Args:
        contents: The bytes of the file, a scalar string.
        kind: One of `KINDS`, where it is known: the graph is smaller then.

    Raises:
        tf.errors.InvalidArgumentError: If it has a `fault`, or turns out to be damaged.
    """
    contents = tf.convert_to_tensor(contents, tf.string)
    if kind:
        return _read(KINDS[kind], contents)
    picture = tf.cond(
        are_jpeg(contents), lambda: _read(jpeg, contents), lambda: read_other(contents)
    )
    return Picture(*picture)


def read_other(contents: tf.Tensor) -> Picture:
    """`read` of what is no JPEG."""
    return Picture(*apart(_other)(contents))


def _other(contents: tf.Tensor) -> Picture:
    start = FileBytes(tf.strings.substr(contents, 0, START))
    known = [each.known(start) for each in OTHERS]
    kind = tf.argmax(tf.stack([*known, tf.constant(True)]), output_type=tf.int32)
    readers = [lambda each=each: apart(_reader(each))(contents) for each in OTHERS]
    return tf.switch_case(kind, [*readers, lambda: _read(None, contents)])


@cache
def _reader(module: ModuleType):
    return lambda contents: _read(module, contents)


def _fault(module: ModuleType | None, contents: tf.Tensor) -> tf.Tensor:
    if module is None:
        return tf.constant("the file is no picture of a known format")
    header = module.header(FileBytes(contents))
    width, height = (tf.minimum(side, 2**31) for side in (header.width, header.height))
    pixels = width * height  # within int64
    large = tf.strings.join([tf.strings.as_string(pixels), f" pixels are more than {MAX_PIXELS:,}"])
    told = tf.where(header.cut, "the file is cut short, or parts of it were never filled in", "")
    return tf.where(pixels > MAX_PIXELS, large, told)


def _read(module: ModuleType | None, contents: tf.Tensor) -> Picture:
    fault = _fault(module, contents)
    with tf.control_dependencies([tf.raw_ops.Assert(condition=fault == "", data=[fault])]):
        if module is None:
            return Picture(tf.zeros([0, 0, 3], tf.uint8), tf.constant(1, tf.int64))
        return module.read(FileBytes(tf.identity(contents)))
