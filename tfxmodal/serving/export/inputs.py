"""Raw inputs of a served model: pictures decoded and texts weighed, where one bad row harms none.

All is done by core TensorFlow ops, the same as in training; bad rows become zeros and are told.
"""

from __future__ import annotations

from functools import partial

from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.encoders.image import ImageEncoder, Preprocessing, formats
from tfxmodal.encoders.image.pictures import THREADS, decode
from tfxmodal.encoders.text import TextEncoder
from tfxmodal.lazy import keras, tf

Rows = tuple[tf.Tensor, tf.Tensor]
"""Rows `[batch, ...]`, and bool `[batch]`: which of them are of a valid input."""

UNKNOWN_WORDS = 20
"""Most words of a text that are told as unknown."""


def decode_rows(images: tf.Tensor, preprocessing: Preprocessing) -> Rows:
    """Decodes encoded pictures, each by itself.

    Args:
        images: The bytes of files, strings `[batch]`.
        preprocessing: See `tfxmodal.encoders.image.pictures.decode`.

    Returns:
        RGB in 0..255, `[batch, crop, crop, 3]` float32, and bool `[batch]`: which could be decoded.
        The others are black.
    """
    jpegs = formats.are_jpeg(images)
    decoded = _decoded(images, jpegs, preprocessing, partial(formats.read, kind="JPEG"))

    def with_others() -> Rows:
        pictures, valid = _decoded(images, ~jpegs, preprocessing, formats.read_other)
        return decoded[0] + pictures, decoded[1] | valid

    # A dataset takes time for each node of its function, in every request.
    return tf.cond(tf.reduce_all(jpegs), lambda: decoded, with_others)


def _decoded(images: tf.Tensor, chosen: tf.Tensor, preprocessing: Preprocessing, read) -> Rows:
    """`decode_rows` of the chosen ones, bool `[batch]`; the others are black and not valid."""
    # A graph has no `try`, but a dataset drops elements that fail. The one at its end is always
    # there, as `get_single_element` wants it, which takes a tenth of the time of `reduce`.
    batch, side = tf.shape(images)[0], preprocessing.crop
    rows = tf.cast(tf.where(chosen)[:, 0], tf.int32)
    files = tf.data.Dataset.from_tensor_slices((rows, tf.gather(images, rows)))
    decoded = files.map(
        lambda row, contents: (row, decode(contents, preprocessing, read)),
        num_parallel_calls=THREADS,
        deterministic=False,
    )
    end = tf.data.Dataset.from_tensors((batch, tf.zeros([side, side, 3])))
    decoded = decoded.ignore_errors().concatenate(end).batch(tf.cast(batch, tf.int64) + 1)
    rows, pictures = (each[:-1] for each in decoded.get_single_element())
    pictures = tf.scatter_nd(rows[:, None], pictures, [batch, side, side, 3])
    return pictures, tf.math.bincount(rows, minlength=batch, maxlength=batch) > 0


def image_rows(encoder: ImageEncoder, images: tf.Tensor, kind: str) -> Rows:
    """What a method reads of encoded pictures.

    Args:
        encoder: The image encoder.
        images: The bytes of files, strings `[batch]`.
        kind: The named input, see `tfxmodal.inputs.spec`.
    """
    pixels, valid = decode_rows(images, encoder.preprocessing)
    if kind == "pixels":
        return tf.cast(tf.round(pixels), tf.uint8), valid
    return embed(encoder.model_of(kind), pixels), valid


def text_rows(encoder: TextEncoder, texts: tf.Tensor, kind: str) -> tuple[Rows, tf.Tensor]:
    """What a method reads of texts; those are valid that hold a word the encoder knows.

    Texts of more than `MAX_TEXT_BYTES`, which training refuses, are empty ones: not computed.

    Args:
        encoder: The text encoder.
        texts: Strings `[batch]`.
        kind: The named input, see `tfxmodal.inputs.spec`.

    Returns:
        The rows, and the first words of each text that are unknown, a space between: `[batch]`.
    """
    texts = tf.where(tf.strings.length(texts) <= MAX_TEXT_BYTES, texts, "")
    rows = encoder.tokenizer(texts) if kind == "words" else embed(encoder.model, texts)
    words, known = encoder.look_up(texts)
    unknown = tf.ragged.boolean_mask(words, ~known)[:, :UNKNOWN_WORDS]
    unknown = tf.strings.reduce_join(unknown, axis=1, separator=" ")
    return (rows, tf.reduce_any(known, axis=1)), unknown


def embed(model: keras.Model, rows: tf.Tensor) -> tf.Tensor:
    """What a model makes of rows `[batch, ...]`: float32 `[batch, dim]`.

    Of no rows a server's optimised convolution fails: then there is one of zeros, which is cut off.
    """
    batch = tf.shape(rows)[0]
    shape = tf.concat([[tf.cast(batch == 0, tf.int32)], tf.shape(rows)[1:]], axis=0)
    filled = tf.concat([rows, tf.zeros(shape, rows.dtype)], axis=0)
    filled.set_shape(rows.shape)
    return tf.cast(model(filled, training=False), tf.float32)[:batch]


def finite(rows: tf.Tensor) -> tf.Tensor:
    """Which rows of `[batch, ...]` hold finite numbers alone: bool `[batch]`."""
    return tf.reduce_all(tf.math.is_finite(rows), axis=list(range(1, rows.shape.rank)))


def zeros_where_bad(rows: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Rows `[batch, ...]` with zeros, or empty strings, where `valid [batch]` is false."""
    valid = tf.reshape(valid, [-1] + [1] * (rows.shape.rank - 1))
    return tf.where(valid, rows, tf.zeros_like(rows))


def refuse(argument: str, valid: tf.Tensor, fault: str) -> tf.Operation:
    """Fails with INVALID_ARGUMENT where rows are not valid.

    Args:
        argument: The input's name.
        valid: Bool `[batch]`.
        fault: What is wrong with such a row, as in "row 2 of `image` is no picture".

    Returns:
        The operation to depend on.
    """
    rows = tf.strings.as_string(tf.where(~valid)[:, 0])
    rows = tf.strings.reduce_join(rows, separator=", ")
    message = tf.strings.join(["row ", rows, f" of `{argument}` {fault} (rows count from 0)"])
    return tf.debugging.Assert(tf.reduce_all(valid), [message])
