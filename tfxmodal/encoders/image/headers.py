"""Sizes of pictures by the headers of their files, read by core TensorFlow ops."""

from __future__ import annotations

from tfxmodal.lazy import tf

LENGTH = 30
"""Bytes of a file within which the formats below tell their size."""


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Which files are JPEG, by their first bytes: strings `[batch]` to bool `[batch]`."""
    return _begins(_headers(contents), b"\xff\xd8\xff")


def count_pixels(contents: tf.Tensor) -> tf.Tensor:
    """Width times height that PNG, GIF, BMP and WebP files say they have; it never fails.

    A JPEG tells it at no fixed place: see `tf.io.extract_jpeg_shape`.

    Args:
        contents: The bytes of files, strings `[batch]`.

    Returns:
        Int64 `[batch]`: what a damaged header says, 0 for any other file.
    """
    header = _headers(contents)

    def number(start: int, size: int, big_endian: bool = False) -> tf.Tensor:
        weights = [256**power for power in range(size)]
        return tf.linalg.matvec(
            header[:, start : start + size],
            tf.constant(weights[::-1] if big_endian else weights, tf.int64),
        )

    height = number(22, 4)  # of a BMP; negative where rows are told from top to bottom
    bits = number(21, 4)  # of a lossless WebP: 14 of each side less 1
    sides = {
        (b"\x89PNG", 0): (number(16, 4, True), number(20, 4, True)),
        (b"GIF8", 0): (number(6, 2), number(8, 2)),
        (b"BM", 0): (number(18, 4), tf.minimum(height, 2**32 - height)),
        (b"VP8 ", 12): (number(26, 2) % 2**14, number(28, 2) % 2**14),
        (b"VP8L", 12): (bits % 2**14 + 1, bits // 2**14 % 2**14 + 1),
        (b"VP8X", 12): (number(24, 3) + 1, number(27, 3) + 1),
    }
    return sum(
        tf.where(_begins(header, magic, start), width * height, 0)
        for (magic, start), (width, height) in sides.items()
    )


def _headers(contents: tf.Tensor) -> tf.Tensor:
    """The first bytes, int64 `[batch, LENGTH]`, short files filled up with zeros."""
    first = tf.strings.substr(contents, 0, LENGTH)
    filled = tf.strings.substr(tf.strings.join([first, b"\0" * LENGTH]), 0, LENGTH)
    return tf.cast(tf.reshape(tf.io.decode_raw(filled, tf.uint8), [-1, LENGTH]), tf.int64)


def _begins(header: tf.Tensor, magic: bytes, start: int = 0) -> tf.Tensor:
    part = header[:, start : start + len(magic)]
    return tf.reduce_all(tf.equal(part, tf.constant([*magic], tf.int64)), axis=1)
