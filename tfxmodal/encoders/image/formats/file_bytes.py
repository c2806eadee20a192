"""The bytes of one file, read by core TensorFlow ops that never fail at its end."""

from __future__ import annotations

from functools import cache

from tfxmodal.lazy import tf

MAX_PARTS = 10_000
"""Parts of a file (segments, chunks, blocks) that are looked through: a hostile one ends there."""

ROOM = 32
"""Zeros behind the end, so that a short read there has its full length."""

WORD = 8
"""Bytes that are looked at together where long runs are sought."""


class FileBytes:
    """A file in memory; whatever lies behind its end is zero.

    Attributes:
        contents: The file, a scalar string.
        size: Its bytes, int64.
    """

    def __init__(self, contents: tf.Tensor):
        self.contents = contents
        self.size = tf.cast(tf.strings.length(contents), tf.int64)
        zeros = tf.zeros([ROOM], tf.uint8)
        self._bytes = tf.concat([tf.io.decode_raw(contents, tf.uint8), zeros], axis=0)

    def values(self, at: tf.Tensor | int, count: int) -> tf.Tensor:
        """Bytes as int64 `[count]`, at most `ROOM` of them."""
        return tf.cast(tf.slice(self._bytes, self._inside(at)[None], [count]), tf.int64)

    def number(self, at: tf.Tensor | int, size: int, big_endian: bool | tf.Tensor = False):
        """An unsigned number of `size` bytes, int64."""
        return tf.reduce_sum(self.values(at, size) * weights(size, big_endian))

    def has(self, at: tf.Tensor | int, text: bytes) -> tf.Tensor:
        """Whether `text` stands there."""
        return tf.equal(self.text(at, len(text)), text)

    def text(self, start: tf.Tensor | int, count: tf.Tensor | int | None = None) -> tf.Tensor:
        """A part of the file, as a string: cut at its end; by default all the rest."""
        start = self._inside(start)
        count = self.size if count is None else tf.maximum(tf.cast(count, tf.int64), 0)
        return tf.strings.substr(self.contents, start, count)

    def every(self, at: tf.Tensor, step: int, count: int) -> tf.Tensor:
        """Every `step`-th byte, at most `count` of them, uint8."""
        at = self._inside(at)
        return self._bytes[at : at + step * count : step]

    def _inside(self, at: tf.Tensor | int) -> tf.Tensor:
        return tf.maximum(tf.minimum(tf.cast(at, tf.int64), self.size), 0)


def weights(size: int, big_endian: bool | tf.Tensor) -> tf.Tensor:
    """What each byte of an unsigned number counts, int64 `[size]`."""
    little = tf.constant([256**power for power in range(size)], tf.int64)
    big = tf.constant([256**power for power in reversed(range(size))], tf.int64)
    if isinstance(big_endian, bool):
        return big if big_endian else little
    return tf.where(big_endian, big, little)


def holds(text: tf.Tensor, part: tf.Tensor | bytes) -> tf.Tensor:
    """Whether a string holds another, found much faster than by a loop over its parts."""
    split = tf.raw_ops.StringSplitV2(input=text[None], sep=part, maxsplit=1)
    return tf.size(split.values) > 1


def longest_zeros(text: tf.Tensor) -> tf.Tensor:
    """The longest run of zero bytes in a string, of which the ends may be missed, int64.

    No whole picture holds a long one: a file that was preallocated and not filled does.
    """
    filled = tf.strings.join([text, b"\1" * WORD])
    words = tf.strings.length(filled) // WORD
    values = tf.io.decode_raw(tf.strings.substr(filled, 0, words * WORD), tf.uint8)
    empty = tf.reduce_all(tf.reshape(values, [-1, WORD]) == 0, axis=1)
    others = tf.where(~empty)[:, 0]
    before = tf.concat([[-1], others[:-1]], axis=0)
    return WORD * (tf.reduce_max(others - before) - 1)


@cache
def apart(function):
    """A function of tensors that stays one call in a graph: a branch not taken costs nothing."""
    attributes = {"_noinline": True}
    return tf.function(function, autograph=False, experimental_attributes=attributes)


def byte(value: tf.Tensor) -> tf.Tensor:
    """A number of 0 to 255 as a string of one byte."""
    return tf.gather(tf.constant([bytes([each]) for each in range(256)]), value)
