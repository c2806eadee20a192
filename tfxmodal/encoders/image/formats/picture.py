"""What the readers of all formats give."""

from __future__ import annotations

from typing import NamedTuple

from tfxmodal.lazy import tf


class Header(NamedTuple):
    """What a file tells before it is decoded.

    Attributes:
        width: Pixels, int64.
        height: Pixels, int64.
        cut: Bool: the file is cut short, or was not filled to its end.
    """

    width: tf.Tensor
    height: tf.Tensor
    cut: tf.Tensor


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        image: RGB `[height, width, 3]` uint8, as it is stored.
        orientation: How it is to be turned, 1 to 8 as Exif counts, int64.
    """

    image: tf.Tensor
    orientation: tf.Tensor


def over_white(image: tf.Tensor) -> tf.Tensor:
    """A transparent picture over a white ground: RGBA to RGB, `[height, width, channels]` uint8."""
    colour, alpha = tf.cast(image[..., :3], tf.uint16), tf.cast(image[..., 3:], tf.uint16)
    return tf.cast(255 - ((255 - colour) * alpha + 127) // 255, tf.uint8)
