"""How a picture is to be turned, by the orientation that its Exif block tells."""

from __future__ import annotations

from tfxmodal.encoders.image.formats.file_bytes import FileBytes, apart, weights
from tfxmodal.lazy import tf

MARK = b"Exif\0\0"
ORIENTATION = 0x0112
BYTES_OF_TYPE = {1: 1, 3: 2, 4: 4}
"""Types of a whole number: byte, short, long."""


def orientation(block: tf.Tensor) -> tf.Tensor:
    """The orientation that an Exif block (CIPA DC-008, a TIFF file of its own) tells.

    Args:
        block: Scalar string, with `MARK` before it or not.

    Returns:
        1 to 8, int64; 1, upright, where the block tells none or is damaged.
    """
    marked = tf.equal(tf.strings.substr(block, 0, len(MARK)), MARK)
    block = FileBytes(tf.strings.substr(block, tf.where(marked, len(MARK), 0), 2**31 - 1))
    big = block.has(0, b"MM\0*")
    ifd = block.number(4, 4, big)
    count = block.number(ifd, 2, big)
    entries = tf.strings.substr(block.contents, tf.minimum(ifd + 2, block.size), 12 * count)
    whole = tf.strings.length(entries) // 12  # a block that is cut holds fewer than it tells
    entries = tf.io.decode_raw(tf.strings.substr(entries, 0, 12 * whole), tf.uint8)
    entries = tf.cast(tf.reshape(entries, [-1, 12]), tf.int64)

    def column(start: int, size: int) -> tf.Tensor:
        return tf.linalg.matvec(entries[:, start : start + size], weights(size, big))

    known = (column(0, 2) == ORIENTATION) & (column(4, 4) == 1)
    told = sum(
        tf.where(known & (column(2, 2) == kind), column(8, size), 0)
        for kind, size in BYTES_OF_TYPE.items()
    )
    told = tf.concat([tf.boolean_mask(told, told > 0), [1]], axis=0)[0]
    valid = (big | block.has(0, b"II*\0")) & (told <= 8)
    return tf.where(valid, told, 1)


def turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns a square picture `[side, side, 3]` as its orientation tells."""
    turned = tf.cond(orientation == 1, lambda: image, lambda: apart(_turned)(image, orientation))
    return tf.ensure_shape(turned, image.shape)


def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Orientations from 5 on exchange rows and columns; then the sides may be reversed."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    up_down = tf.gather([False, False, True, True, False, False, True, True], orientation - 1)
    left_right = tf.gather([False, True, True, False, False, True, True, False], orientation - 1)
    return tf.reverse(image, tf.where([up_down, left_right])[:, 0])
