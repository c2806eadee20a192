"""JPEG files (ITU-T T.81)."""

from __future__ import annotations

from tfxmodal.encoders.image.formats import exif
from tfxmodal.encoders.image.formats.file_bytes import (
    MAX_PARTS,
    FileBytes,
    apart,
    holds,
    longest_zeros,
)
from tfxmodal.encoders.image.formats.picture import Header, Picture
from tfxmodal.lazy import tf

END = b"\xff\xd9"
PROGRESSIVE, HUFFMAN, SCAN, APP1, FILL = 0xC2, 0xC4, 0xDA, 0xE1, 0xFF
"""Markers."""

ZEROS = 128
"""A run of zero bytes that the codes of most pictures cannot give."""


def known(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file is a JPEG by its first bytes, or which of several."""
    return tf.equal(tf.strings.substr(contents, 0, 3), b"\xff\xd8\xff")


def header(file: FileBytes) -> Header:
    """The size that the file says; it is cut where its data have no end or too many zeros.

    Zero bits are the shortest codes. In most files the shortest one of the Huffman table is a
    coefficient of -1, so that a run of zeros is no picture that anyone took; in the others it ends
    a flat block, of which a picture has so and so many.
    """
    sides = tf.cast(tf.image.extract_jpeg_shape(file.contents), tf.int64)
    gap = tf.cond(
        holds(file.contents, bytes(ZEROS)),
        lambda: apart(_has_gap)(file.contents, sides[0], sides[1]),
        lambda: tf.constant(False),
    )
    return Header(sides[1], sides[0], gap | ~holds(file.contents, END))


def read(file: FileBytes) -> Picture:
    """The picture."""
    orientation = tf.cond(
        holds(file.contents, exif.MARK),
        lambda: apart(_orientation)(file.contents),
        lambda: tf.constant(1, tf.int64),
    )
    return Picture(tf.io.decode_image(file.contents, 3, expand_animations=False), orientation)


def _orientation(contents: tf.Tensor) -> tf.Tensor:
    return exif.orientation(_segments(FileBytes(contents))[0])


def _has_gap(contents: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    file = FileBytes(contents)
    _, scan, flat = _segments(file)
    data = tf.strings.split(file.text(scan), END)[0]
    blocks = 3 * (height // 8 + 1) * (width // 8 + 1)
    return longest_zeros(data) > ZEROS + tf.where(flat, blocks, 0)


def _segments(file: FileBytes):
    """What stands before the data.

    Returns:
        The Exif block; where the data begin; whether zero bits may be flat blocks.
    """

    def step(at, tables, block, scan, symbols, progressive):
        values = file.values(at, 20)
        marker, end = values[1], at + 2 + values[2] * 256 + values[3]
        in_tables = at < tables  # a segment holds one Huffman table or several
        marker = tf.where(in_tables, tf.zeros_like(marker), marker)
        is_exif = (marker == APP1) & file.has(at + 4, exif.MARK) & (block == b"")
        # The first symbol of a table for coefficients: 0 ends the block.
        symbols &= ~(in_tables & (values[0] >= 16) & (values[17] != 0))
        following = tf.where(marker == HUFFMAN, at + 4, tf.where(marker == FILL, at + 1, end))
        following = tf.where(values[0] == 0xFF, following, file.size)
        return (
            tf.where(in_tables, at + 17 + tf.reduce_sum(values[1:17]), following),
            tf.where(marker == HUFFMAN, end, tables),
            tf.where(is_exif, file.text(at + 4, end - at - 4), block),
            tf.where(marker == SCAN, at, scan),
            symbols,
            progressive | (marker == PROGRESSIVE),
        )

    zero = tf.constant(0, tf.int64)
    _, _, block, scan, symbols, progressive = tf.while_loop(
        lambda at, tables, block, scan, *_: (at < file.size) & (scan == 0),
        step,
        (zero + 2, zero, tf.constant(b""), zero, tf.constant(True), tf.constant(False)),
        maximum_iterations=MAX_PARTS,
    )
    # A scan of one component among several need not hold a block of each table, and a progressive
    # one holds single bits of many blocks.
    return block, scan, symbols | progressive | (file.values(scan + 4, 1)[0] == 1)
