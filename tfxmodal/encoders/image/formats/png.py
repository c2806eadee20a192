"""PNG files (W3C PNG, third edition)."""

from __future__ import annotations

from tfxmodal.encoders.image.formats import exif
from tfxmodal.encoders.image.formats.file_bytes import MAX_PARTS, FileBytes, holds
from tfxmodal.encoders.image.formats.picture import Header, Picture, over_white
from tfxmodal.lazy import tf

GREY_ALPHA, RGB_ALPHA = 4, 6
"""Colour types."""


def known(file: FileBytes) -> tf.Tensor:
    """Whether it is a PNG by its first bytes."""
    return file.has(0, b"\x89PNG\r\n\x1a\n")


def header(file: FileBytes) -> Header:
    """The size that the file says; without its last chunk it is cut."""
    cut = ~holds(file.contents, b"IEND")
    return Header(file.number(16, 4, True), file.number(20, 4, True), cut)


def read(file: FileBytes) -> Picture:
    """The picture, of an animated one the default image, over white."""
    names = (b"tRNS", b"eXIf", b"iCCP")
    trns, block, contents = tf.cond(
        tf.reduce_any([holds(file.contents, name) for name in names]),
        lambda: _chunks(file),
        lambda: (tf.constant(False), tf.constant(b""), file.contents),
    )
    colours = file.values(25, 1)[0]
    image = tf.cond(
        trns | (colours == GREY_ALPHA) | (colours == RGB_ALPHA),
        lambda: over_white(tf.io.decode_image(contents, 4, expand_animations=False)),
        # Of an opaque palette of less than 8 bits the decoder would make up a wrong alpha.
        lambda: tf.io.decode_image(contents, 3, expand_animations=False),
    )
    return Picture(image, exif.orientation(block))


def _chunks(file: FileBytes):
    """Whether there is a `tRNS`; the Exif block; the file without its colour profile.

    The decoder ignores profiles, but libpng logs a line for each that it finds fault with.
    """

    def step(at, trns, block, profile, after):
        end = at + 12 + file.number(at, 4, True)
        name = file.text(at + 4, 4)
        is_profile = name == b"iCCP"
        block = tf.where(name == b"eXIf", file.text(at + 8, end - at - 12), block)
        return (
            end,
            trns | (name == b"tRNS"),
            block,
            tf.where(is_profile, at, profile),
            tf.where(is_profile, end, after),
        )

    start = (tf.constant(8, tf.int64), tf.constant(False), tf.constant(b""), file.size, file.size)
    _, trns, block, profile, after = tf.while_loop(
        lambda at, *_: at < file.size, step, start, maximum_iterations=MAX_PARTS
    )
    return trns, block, tf.strings.join([file.text(0, profile), file.text(after)])
