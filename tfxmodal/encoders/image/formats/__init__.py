"""Picture files by their formats, read by core TensorFlow ops, the same in training as in serving.

A format is a module with `known`, `header` and `read`.
"""

from __future__ import annotations

from functools import cache

from tfxmodal.encoders.image.formats import bmp, gif, jpeg, png, webp
from tfxmodal.encoders.image.formats.file_bytes import FileBytes, apart
from tfxmodal.encoders.image.formats.picture import Header, Picture
from tfxmodal.lazy import tf

FORMATS = (jpeg, png, gif, bmp, webp)
START = 70
"""Bytes by which a file is known."""


def header(contents: tf.Tensor) -> Header:
    """What a file tells before it is decoded; no pixels where it is of none of `FORMATS`."""
    zero = tf.constant(0, tf.int64)
    none = Header(zero, zero, tf.constant(False))
    return Header(*_by_format(contents, "header", none))


def read(contents: tf.Tensor) -> Picture:
    """Decodes a file; any other becomes a picture of no pixels, which nothing can resize."""
    none = Picture(tf.zeros([0, 0, 3], tf.uint8), tf.constant(1, tf.int64))
    return Picture(*_by_format(contents, "read", none))


def _by_format(contents: tf.Tensor, name: str, none: tuple) -> tuple:
    """What a file's format makes of it, `none` where it is of none of them."""
    contents = tf.convert_to_tensor(contents, tf.string)
    start = FileBytes(tf.strings.substr(contents, 0, START))
    known = [each.known(start) for each in FORMATS]
    kind = tf.argmax(tf.stack([*known, tf.constant(True)]), output_type=tf.int32)
    # JPEG, which most photos are, does without a call.
    readers = [lambda: getattr(jpeg, name)(FileBytes(contents))]
    readers += [lambda each=each: apart(_reader(each, name))(contents) for each in FORMATS[1:]]
    return tf.switch_case(kind, [*readers, lambda: none])


@cache
def _reader(module, name: str):
    return lambda contents: getattr(module, name)(FileBytes(contents))
