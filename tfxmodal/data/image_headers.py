"""Sizes of pictures by the headers of their files, read by core TensorFlow ops."""

import tensorflow as tf


def count_pixels(contents: tf.Tensor) -> tf.Tensor:
    """Width times height that a JPEG, PNG, GIF, BMP or WebP file says it has.

    Args:
        contents: The bytes of the file, a scalar string.

    Returns:
        An int64 scalar; 0 for any other file.

    Raises:
        tf.errors.InvalidArgumentError: If the header is cut short or no header.
    """

    def number(start: int, size: int, big_endian: bool = False):
        digits = tf.io.decode_raw(tf.strings.substr(contents, start, size), tf.uint8)
        digits = tf.cast(tf.ensure_shape(digits, [size]), tf.int64)
        weights = [256**i for i in range(size)]
        return tf.reduce_sum(digits * (weights[::-1] if big_endian else weights))

    def jpeg():
        return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.int64))

    def png():
        return number(16, 4, big_endian=True) * number(20, 4, big_endian=True)

    def gif():
        return number(6, 2) * number(8, 2)

    def bmp():  # Rows from top to bottom are told by a negative height.
        height = number(22, 4)
        return number(18, 4) * tf.minimum(height, 2**32 - height)

    def webp():
        fourteen_bits = 2**14
        return tf.case(
            [
                (begins("VP8X", 12), lambda: (number(24, 3) + 1) * (number(27, 3) + 1)),
                (
                    begins("VP8L", 12),
                    lambda: (
                        (number(21, 4) % fourteen_bits + 1)
                        * (number(21, 4) // fourteen_bits % fourteen_bits + 1)
                    ),
                ),
            ],
            lambda: number(26, 2) % fourteen_bits * (number(28, 2) % fourteen_bits),
        )

    def begins(magic: str | bytes, start: int = 0):
        length = tf.strings.length(contents)
        start = tf.minimum(start, length)
        return tf.strings.substr(contents, start, len(magic)) == magic

    kinds = {b"\xff\xd8\xff": jpeg, b"\x89PNG": png, b"GIF8": gif, b"BM": bmp, b"RIFF": webp}
    return tf.case(
        [(begins(magic), kind) for magic, kind in kinds.items()], lambda: tf.constant(0, tf.int64)
    )
