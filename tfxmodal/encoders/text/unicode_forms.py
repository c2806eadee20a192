"""One form for texts that look alike: letters with accents in parts, full width, ligatures.

Unicode writes `é` as one character or as `e` and an accent, and has wide, joined and styled copies
of letters and digits. Here each letter is decomposed (Unicode Standard Annex 15, form NFKD), by
core TensorFlow ops.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np

from tfxmodal.lazy import tf

CODE_POINTS = 0x110000
BLOCK = 64
LAST_DECOMPOSED = 0x30000
"""Beyond the planes before it nothing is decomposed, and no mark is moved."""
SYLLABLES, LEADS, VOWELS, TAILS = 0xAC00, 0x1100, 0x1161, 0x11A7
"""Where the syllables of Hangul begin, and its letters (Unicode Standard, section 3.12)."""
SYLLABLES_END, SYLLABLES_OF_LEAD, SYLLABLES_OF_VOWEL = 0xD7A4, 588, 28

INVISIBLE = (
    *range(0xFE00, 0xFE10),  # They choose a glyph, such as that of an emoji.
    *range(0xE0100, 0xE01F0),
    *range(0x180B, 0x180E),
    0x180F,
    0x034F,
    0x00AD,  # A place where a word may be broken.
)
"""Code points that are left out."""


def decomposed(texts: tf.Tensor) -> tf.Tensor:
    """Texts with their letters, marks and numbers decomposed, and marks in Unicode's order.

    Symbols and fractions stay as they are: decomposed, `5™` would be 5TM, and 1½ would be 11 and 2.

    Args:
        texts: Valid UTF-8, `[batch]`.

    Returns:
        UTF-8 `[batch]`.
    """
    points = tf.strings.unicode_decode(texts, "UTF-8")
    points = points.with_flat_values(_parts(points.flat_values)).merge_dims(1, 2)
    return tf.strings.unicode_encode(_in_order(points), "UTF-8")


def composed(text: str) -> str:
    """A text with its letters composed, as people and most word vectors write them."""
    return unicodedata.normalize("NFC", text)


def _parts(points: tf.Tensor) -> tf.RaggedTensor:
    """What each code point `[n]` is decomposed into: `[n, (parts)]`."""
    rows, splits, values, _ = _tables()
    row = _look_up(rows, points)
    listed = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
    place = points - SYLLABLES
    syllable = (place >= 0) & (points < SYLLABLES_END)
    letters = [
        LEADS + place // SYLLABLES_OF_LEAD,
        VOWELS + place % SYLLABLES_OF_LEAD // SYLLABLES_OF_VOWEL,
        TAILS + place % SYLLABLES_OF_VOWEL,
    ]
    count = tf.where(place % SYLLABLES_OF_VOWEL > 0, 3, 2)
    itself = tf.cast((row == 0) & ~syllable, tf.int32)
    return tf.concat(
        [
            tf.RaggedTensor.from_tensor(points[:, None], itself),
            tf.RaggedTensor.from_tensor(tf.stack(letters, 1), tf.where(syllable, count, 0)),
            tf.gather(listed, row),
        ],
        axis=1,
    )


def _in_order(points: tf.RaggedTensor) -> tf.RaggedTensor:
    """Code points `[batch, (points)]`, marks on one letter in the order of their classes."""
    *_, classes = _tables()
    flat = points.flat_values
    rank = tf.cast(_look_up(classes, flat), tf.int64)
    letter = tf.cumsum(tf.cast(rank == 0, tf.int64)) + points.value_rowids()
    order = tf.argsort(letter * 256 + rank, stable=True)
    return points.with_flat_values(tf.gather(flat, order))


def _look_up(table: tuple[np.ndarray, np.ndarray], points: tf.Tensor) -> tf.Tensor:
    """Values of code points `[n]`, int32."""
    blocks, values = table
    block = tf.cast(tf.gather(blocks, points // BLOCK), tf.int32)
    return tf.cast(tf.gather(values, block * BLOCK + points % BLOCK), tf.int32)


@cache
def _tables():
    """Rows of decompositions by code point, their splits and values; marks' classes likewise."""
    rows, classes = np.zeros(CODE_POINTS, np.uint16), np.zeros(CODE_POINTS, np.uint8)
    found: dict[str | None, int] = {None: 0, "": 1}
    rows[list(INVISIBLE)] = found[""]
    for point in range(LAST_DECOMPOSED):
        character = chr(point)
        classes[point] = unicodedata.combining(character)
        how = unicodedata.decomposition(character)
        if how and not how.startswith("<fraction>") and unicodedata.category(character)[0] in "LMN":
            parts = unicodedata.normalize("NFKD", character)
            rows[point] = found.setdefault(parts, len(found))
    values = [ord(part) for parts in found for part in parts or ""]
    splits = np.cumsum([0, *(len(parts or "") for parts in found)])
    return _in_blocks(rows), splits, np.array(values, np.int32), _in_blocks(classes)


def _in_blocks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sparse table `[code points]` as the number of each block, and the different blocks."""
    blocks, numbers = np.unique(values.reshape(-1, BLOCK), axis=0, return_inverse=True)
    return numbers.astype(np.uint8), blocks.ravel()
