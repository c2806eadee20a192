"""BMP files of 8, 24 and 32 bits without compression."""

from __future__ import annotations

from tfxmodal.encoders.image.formats.file_bytes import FileBytes
from tfxmodal.encoders.image.formats.picture import Header, Picture, over_white
from tfxmodal.lazy import tf

MASKS = b"\0\0\xff\0" + b"\0\xff\0\0" + b"\xff\0\0\0"
"""Where the bits of red, green and blue are, as the decoder takes them."""
ALPHA = b"\0\0\0\xff"


def known(file: FileBytes) -> tf.Tensor:
    """Whether it is a BMP of those kinds: the decoder takes others for what they are not."""
    bits, compression = file.number(28, 2), file.number(30, 4)
    plain = (compression == 0) & ((bits == 8) | (bits == 24) | (bits == 32))
    masked = (compression == 3) & (bits == 32) & file.has(54, MASKS)
    return file.has(0, b"BM") & (file.number(14, 4) >= 40) & (plain | masked)


def header(file: FileBytes) -> Header:
    """The size that the file says; cut where it has fewer bytes."""
    width, height = _sides(file)
    return Header(width, height, file.size < file.number(10, 4) + _row_bytes(file) * height)


def read(file: FileBytes) -> Picture:
    """The picture, over white where the file tells of alpha."""
    wanted = file.number(10, 4) + _row_bytes(file) * _sides(file)[1]
    image = tf.io.decode_image(file.text(0, wanted), 0, expand_animations=False)
    has_alpha = (file.number(30, 4) == 3) & (file.number(14, 4) >= 56) & file.has(66, ALPHA)
    image = tf.case(
        [
            (file.number(28, 2) == 8, lambda: tf.gather(_palette(file), _indices(image))),
            (has_alpha, lambda: over_white(image)),
        ],
        default=lambda: image[..., :3],
    )
    return Picture(image, tf.constant(1, tf.int64))


def _sides(file: FileBytes) -> tuple[tf.Tensor, tf.Tensor]:
    height = file.number(22, 4)  # negative where rows are told from top to bottom
    return file.number(18, 4), tf.minimum(height, 2**32 - height)


def _row_bytes(file: FileBytes) -> tf.Tensor:
    return (file.number(18, 4) * (file.number(28, 2) // 8) + 3) // 4 * 4


def _indices(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(image[..., 0], tf.int32)


def _palette(file: FileBytes) -> tf.Tensor:
    """RGB of each of 256 indices, `[256, 3]` uint8; black beyond those that the file tells."""
    start, end = 14 + file.number(14, 4), file.number(10, 4)
    told = file.text(start, tf.minimum(end - start, 4 * 256))
    filled = tf.strings.substr(tf.strings.join([told, bytes(4 * 256)]), 0, 4 * 256)
    return tf.reshape(tf.io.decode_raw(filled, tf.uint8), [256, 4])[:, 2::-1]
