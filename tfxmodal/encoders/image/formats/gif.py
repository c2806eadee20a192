"""GIF files (version 89a): the first picture alone, over white."""

from __future__ import annotations

from typing import NamedTuple

from tfxmodal.encoders.image.formats.file_bytes import MAX_PARTS, FileBytes, byte
from tfxmodal.encoders.image.formats.picture import Header, Picture
from tfxmodal.lazy import tf

EXTENSION, PICTURE, CONTROL = 0x21, 0x2C, 0xF9
FULL = 255
"""Bytes of the longest data block."""
TABLE = 3 * 256
"""Bytes of the largest colour table."""


class _First(NamedTuple):
    """Where the first picture is: of itself and of the control block before it, or -1."""

    picture: tf.Tensor
    control: tf.Tensor


def known(file: FileBytes) -> tf.Tensor:
    """Whether it is a GIF by its first bytes."""
    return file.has(0, b"GIF8")


def header(file: FileBytes) -> Header:
    """The size of the screen, which the first picture may enlarge; cut where its data have no end.

    The pictures behind it are not looked at.
    """
    first = _first(file)
    left, top, width, height = _sides(file, first)
    end = _end_of_blocks(file, _data(file, first) + 1)
    cut = (first.picture < 0) | (end > file.size)
    return Header(
        tf.maximum(file.number(6, 2), left + width),
        tf.maximum(file.number(8, 2), top + height),
        cut,
    )


def read(file: FileBytes) -> Picture:
    """The first picture on its screen: what is transparent or not covered is white.

    The decoder makes it black and takes the largest picture for the screen. Hence it gets a file of
    one picture, as large as the screen, whose transparent colour is white.
    """
    first = _first(file)
    left, top, width, height = _sides(file, first)
    flags = file.number(first.picture + 9, 1)
    data = _data(file, first)
    sides = file.text(first.picture + 5, 4)
    contents = tf.strings.join(
        [
            b"GIF89a",
            sides,
            b"\0\0\0\x2c\0\0\0\0",
            sides,
            byte(0x87 + flags // 64 % 2 * 64),  # a table of 256 colours; interlaced as before
            _colours(file, first),
            file.text(data, _end_of_blocks(file, data + 1) - data),
            b"\x3b",
        ]
    )
    image = tf.io.decode_image(contents, 3, expand_animations=False)
    right = tf.maximum(file.number(6, 2) - left - width, 0)
    bottom = tf.maximum(file.number(8, 2) - top - height, 0)
    around = tf.stack([tf.stack([top, bottom]), tf.stack([left, right]), [0, 0]])
    image = tf.pad(image, around, constant_values=tf.constant(255, tf.uint8))
    return Picture(image, tf.constant(1, tf.int64))


def _first(file: FileBytes) -> _First:
    def step(at, control, picture):
        kind, label = file.number(at, 1), file.number(at + 1, 1)
        is_control = (kind == EXTENSION) & (label == CONTROL)
        end = tf.where(kind == EXTENSION, _end_of_blocks(file, at + 2), file.size)
        picture = tf.where(kind == PICTURE, at, picture)
        return end, tf.where(is_control, at, control), picture

    none = tf.constant(-1, tf.int64)
    _, control, picture = tf.while_loop(
        lambda at, control, picture: (at < file.size) & (picture < 0),
        step,
        (13 + _table_bytes(file.number(10, 1)), none, none),
        maximum_iterations=MAX_PARTS,
    )
    return _First(picture, control)


def _end_of_blocks(file: FileBytes, at: tf.Tensor) -> tf.Tensor:
    """Where a chain of data blocks ends; behind the file's end where it is cut."""

    def step(at, ended):
        sizes = file.every(at, FULL + 1, 1024)  # encoders write full blocks until the last
        full = tf.reduce_sum(tf.math.cumprod(tf.cast(sizes == FULL, tf.int64)))
        at += full * (FULL + 1)
        more = full < tf.size(sizes, tf.int64)
        size = file.number(at, 1)
        return tf.where(more, at + 1 + size, at), more & (size == 0)

    at, ended = tf.while_loop(
        lambda at, ended: (at < file.size) & ~ended,
        step,
        (at, tf.constant(False)),
        maximum_iterations=MAX_PARTS,
    )
    return tf.where(ended, at, file.size + 1)


def _sides(file: FileBytes, first: _First) -> list[tf.Tensor]:
    """Left, top, width and height of the first picture."""
    return [file.number(first.picture + start, 2) for start in (1, 3, 5, 7)]


def _data(file: FileBytes, first: _First) -> tf.Tensor:
    """Where the first picture's compressed data begin."""
    return first.picture + 10 + _table_bytes(file.number(first.picture + 9, 1))


def _table_bytes(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of a colour table, 0 where there is none."""
    size = tf.bitwise.left_shift(tf.constant(6, tf.int64), flags % 8)
    return tf.where(flags >= 128, size, 0)


def _colours(file: FileBytes, first: _First) -> tf.Tensor:
    """The first picture's colours, white for the transparent one: string of `TABLE` bytes."""
    own = _table_bytes(file.number(first.picture + 9, 1))
    table = tf.where(
        own > 0,
        file.text(first.picture + 10, own),
        file.text(13, _table_bytes(file.number(10, 1))),
    )
    table = FileBytes(tf.strings.substr(tf.strings.join([table, bytes(TABLE)]), 0, TABLE))
    index = file.number(first.control + 6, 1)
    white = tf.strings.join([table.text(0, 3 * index), b"\xff\xff\xff", table.text(3 * index + 3)])
    transparent = (first.control >= 0) & (file.number(first.control + 3, 1) % 2 == 1)
    return tf.where(transparent, white, table.contents)
