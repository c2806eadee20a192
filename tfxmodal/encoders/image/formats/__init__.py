"""Picture files by their formats, read by core TensorFlow ops, the same in training as in serving.

A format is a module with `known`, `header` and `read`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from tfxmodal.encoders.image.formats import bmp, gif, jpeg, png, webp
from tfxmodal.encoders.image.formats.file_bytes import FileBytes, apart
from tfxmodal.encoders.image.formats.picture import Header, Picture
from tfxmodal.encoders.image.with_pillow import MAX_PIXELS
from tfxmodal.lazy import tf

OTHERS = (png, gif, bmp, webp)
"""The formats beside JPEG, which most photos are."""
START = 70
"""Bytes by which a file is known."""


are_jpeg = jpeg.known


def fault(contents: tf.Tensor) -> tf.Tensor:
    """What is wrong with a file, as far as it tells without being decoded.

    Args:
        contents: The bytes of the file, a scalar string.

    Returns:
        A scalar string, empty where nothing is seen.
    """
    return _by_format(contents, _fault)


def read(contents: tf.Tensor) -> Picture:
    """Decodes a file.

    Args:
        contents: The bytes of the file, a scalar string.

    Raises:
        tf.errors.InvalidArgumentError: If it has a `fault`, or turns out to be damaged.
    """
    return Picture(*_by_format(contents, _read))


def read_jpeg(contents: tf.Tensor) -> Picture:
    """`read` of what is a JPEG."""
    return _read(jpeg, contents)


def read_other(contents: tf.Tensor) -> Picture:
    """`read` of what is no JPEG."""
    return Picture(*apart(_other(_read))(contents))


def _by_format(contents: tf.Tensor, work):
    contents = tf.convert_to_tensor(contents, tf.string)
    return tf.cond(
        jpeg.known(contents), lambda: work(jpeg, contents), lambda: apart(_other(work))(contents)
    )


@cache
def _other(work):
    """`work` of a file that is no JPEG."""

    def choose(contents: tf.Tensor):
        start = FileBytes(tf.strings.substr(contents, 0, START))
        known = [each.known(start) for each in OTHERS]
        kind = tf.argmax(tf.stack([*known, tf.constant(True)]), output_type=tf.int32)
        readers = [lambda each=each: apart(_of(work, each))(contents) for each in OTHERS]
        return tf.switch_case(kind, [*readers, lambda: work(None, contents)])

    return choose


@cache
def _of(work, module: ModuleType):
    return lambda contents: work(module, contents)


def _header(module: ModuleType | None, contents: tf.Tensor) -> Header:
    """What a file tells; no pixels where its format is not known."""
    zero = tf.constant(0, tf.int64)
    return module.header(FileBytes(contents)) if module else Header(zero, zero, zero > 0)


def _fault(module: ModuleType | None, contents: tf.Tensor) -> tf.Tensor:
    header = _header(module, contents)
    pixels = header.width * header.height
    large = tf.strings.join([tf.strings.as_string(pixels), f" pixels are more than {MAX_PIXELS:,}"])
    told = tf.where(header.cut, "the file is cut short, or parts of it were never filled in", "")
    told = tf.where(pixels > MAX_PIXELS, large, told)
    if module is None:
        told = tf.where(
            tf.strings.length(contents) == 0,
            "the file is empty",
            "the file is no picture of a known format",
        )
    return told


def _read(module: ModuleType | None, contents: tf.Tensor) -> tuple:
    fault = _fault(module, contents)
    with tf.control_dependencies([tf.raw_ops.Assert(condition=fault == "", data=[fault])]):
        if module is None:
            return Picture(tf.zeros([0, 0, 3], tf.uint8), tf.constant(1, tf.int64))
        return module.read(FileBytes(tf.identity(contents)))
