"""WebP files (RFC 9649), still and animated."""

from __future__ import annotations

from tfxmodal.encoders.image.formats import exif
from tfxmodal.encoders.image.formats.file_bytes import (
    MAX_PARTS,
    FileBytes,
    byte,
    holds,
    longest_zeros,
)
from tfxmodal.encoders.image.formats.picture import Header, Picture, over_white
from tfxmodal.lazy import tf

ANIMATED, ALPHA = 2, 16
"""Flags of the extended header."""
ZEROS = 64
"""A run of zero bytes that no picture of a few blocks gives."""


def known(file: FileBytes) -> tf.Tensor:
    """Whether it is a WebP by its first bytes."""
    return file.has(0, b"RIFF") & file.has(8, b"WEBP")


def header(file: FileBytes) -> Header:
    """The size that the file says; cut where the container ends early or its data are zeros."""
    bits = file.number(21, 4)  # of a lossless picture: 14 of each side less 1
    extended = file.has(12, b"VP8X")
    lossless = file.has(12, b"VP8L")

    def side(of_extended: int, shift: int, of_lossy: int) -> tf.Tensor:
        lossy = file.number(of_lossy, 2) % 2**14
        other = tf.where(lossless, bits // 2**shift % 2**14 + 1, lossy)
        return tf.where(extended, file.number(of_extended, 3) + 1, other)

    width, height = side(24, 0, 26), side(27, 14, 28)
    ends = file.number(4, 4) + 8 > file.size
    suspect = holds(file.contents, bytes(ZEROS))
    gap = tf.cond(suspect, lambda: _has_gap(file, width, height), lambda: tf.constant(False))
    return Header(width, height, ends | gap)


def read(file: FileBytes) -> Picture:
    """The picture, of an animation the first frame on its canvas, over white."""
    flags = tf.where(file.has(12, b"VP8X"), file.number(20, 1), 0)
    # The decoder writes four channels of any animation, and has room for them, and not for fewer
    # that it overruns, where the header tells of alpha.
    with_alpha = byte(tf.bitwise.bitwise_or(flags, ALPHA))
    image = tf.cond(
        tf.bitwise.bitwise_and(flags, ANIMATED) > 0,
        lambda: _animated(tf.strings.join([file.text(0, 20), with_alpha, file.text(21)])),
        lambda: _still(file),
    )
    block = tf.cond(
        holds(file.contents, b"EXIF"), lambda: _chunks(file)[0], lambda: tf.constant(b"")
    )
    return Picture(image, exif.orientation(block))


def _still(file: FileBytes) -> tf.Tensor:
    image = tf.io.decode_image(file.contents, 0, expand_animations=False)
    return tf.cond(tf.shape(image)[2] == 4, lambda: over_white(image), lambda: image)


def _animated(contents: tf.Tensor) -> tf.Tensor:
    return over_white(tf.io.decode_image(contents, 4, expand_animations=False))


def _has_gap(file: FileBytes, width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    """Whether the compressed data hold more zeros than a flat picture of this size can give.

    A lossy one has blocks of 16 x 16, of which each takes less than a byte; a lossless one may take
    a bit a pixel.
    """
    _, name, data = _chunks(file)
    flat = tf.where(name == b"VP8L", width * height // 8, (width // 16 + 1) * (height // 16 + 1))
    return longest_zeros(data) > ZEROS + flat


def _chunks(file: FileBytes):
    """The Exif block, and the name and data of the first picture's chunk, without its alpha."""

    def step(at, block, kind, data):
        size = file.number(at + 4, 4)
        name, inside = file.text(at, 4), file.text(at + 8, size)
        is_first = ((name == b"VP8 ") | (name == b"VP8L")) & (kind == b"")
        return (
            # The chunks of a frame stand behind 16 bytes that tell of it.
            at + 8 + tf.where(name != b"ANMF", size + size % 2, 16),
            tf.where(name == b"EXIF", inside, block),
            tf.where(is_first, name, kind),
            tf.where(is_first, inside, data),
        )

    start = (tf.constant(12, tf.int64), *[tf.constant(b"")] * 3)
    _, *found = tf.while_loop(
        lambda at, *_: at < file.size, step, start, maximum_iterations=MAX_PARTS
    )
    return tuple(found)
