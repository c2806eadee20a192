"""Pictures as people send them, in one batch with good ones."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.encoders.image import Preprocessing
from tfxmodal.encoders.image.pictures import decode
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.errors import InputError
from tfxmodal.serving.export.inputs import decode_rows, finite, refuse, text_rows, zeros_where_bad

SIZE = Preprocessing(20, 16, "")


@pytest.fixture(scope="module")
def decoded():
    """`decoded(contents)`: as in a server, by a graph."""
    return tf.function(
        lambda contents: decode_rows(contents, SIZE), [tf.TensorSpec([None], tf.string)]
    )


@pytest.fixture(scope="module")
def photo(shared_data) -> bytes:
    return next((shared_data / "pascal_sentences" / "images").iterdir()).read_bytes()


def save(mode: str, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, [30, 40, 3], np.uint8)
    Image.fromarray(noise).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def huge(kind: str) -> bytes:
    """A header of 20,000 x 20,000 pixels with nothing behind it."""
    if kind == "PNG":
        return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 20_000, 20_000)
    if kind == "GIF":
        return b"GIF89a" + struct.pack("<HH", 20_000, 20_000)
    if kind == "BMP":
        return save("RGB", "BMP")[:18] + struct.pack("<ii", 20_000, -20_000) + bytes(40)
    start = save("L", "JPEG")
    sides = start.index(b"\xff\xc0") + 5  # of the frame's header
    return start[:sides] + struct.pack(">HH", 20_000, 20_000) + start[sides + 4 :]


TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6" + bytes(6)
GOOD = {
    "grey": save("L", "JPEG"),
    "CMYK": save("CMYK", "JPEG"),
    "progressive": save("RGB", "JPEG", progressive=True),
    "alpha": save("RGBA", "PNG"),
    "palette": save("P", "PNG"),
    "one bit": save("1", "PNG"),
    "GIF": save("P", "GIF"),
    "animated": save("P", "GIF", save_all=True, append_images=[Image.new("P", (40, 30))]),
    "BMP": save("RGB", "BMP"),
    "turned": save("RGB", "JPEG", exif=TURNED),
    "WebP": save("RGBA", "WEBP"),
    "moving": save("RGB", "WEBP", save_all=True, append_images=[Image.new("RGB", (40, 30))]),
}
BAD = {
    "nothing": b"",
    "text": b"this is no picture",
    "cut": GOOD["progressive"][:200],
    "cut PNG": GOOD["alpha"][:-30],
    "start alone": b"\xff\xd8\xff",
    "other file": b"%PDF-1.4" + bytes(100),
    "TIFF": save("RGB", "TIFF"),
    "never filled in": save("RGB", "JPEG", quality=95)[:1000] + bytes(2000) + b"\xff\xd9",
} | {f"huge {kind}": huge(kind) for kind in ("PNG", "GIF", "BMP", "JPEG")}


def test_each_row_is_decoded_as_in_training_or_told_to_be_bad(decoded, photo):
    cases = [
        contents for pair in zip(GOOD.values(), BAD.values(), strict=True) for contents in pair
    ]
    cases.append(photo)
    pictures, valid = decoded(tf.constant(cases))
    bad = set(BAD.values())
    assert valid.numpy().tolist() == [contents not in bad for contents in cases]
    for contents, picture in zip(cases, pictures, strict=True):
        want = np.zeros([16, 16, 3]) if contents in bad else decode(contents, SIZE)
        np.testing.assert_array_equal(picture, want)


def test_no_rows_and_none_that_is_good(decoded):
    pictures, valid = decoded(tf.constant([], tf.string))
    assert pictures.shape == [0, 16, 16, 3] and valid.shape == [0]
    pictures, valid = decoded(tf.constant([b"", b"x"]))
    assert not pictures.numpy().any() and not valid.numpy().any()


def test_a_text_longer_than_in_training_is_not_computed():
    encoder = BagOfWords(["red", "car"], [1.0, 1.0])
    longest, longer = b"red ".ljust(MAX_TEXT_BYTES), "réd car ".encode().ljust(MAX_TEXT_BYTES + 1)
    texts = tf.TensorSpec([None], tf.string)
    graph = tf.function(lambda texts: text_rows(encoder, texts, "features"), [texts])
    (rows, valid), _ = graph(tf.constant([longest, longer, b"car"]))
    assert valid.numpy().tolist() == [True, False, True]
    assert rows.numpy().tolist() == [[1, 0], [0, 0], [0, 1]]
    np.testing.assert_array_equal(encoder.encode([longest.decode(), "car"]), rows.numpy()[::2])
    told = r"A text holds 1,000,001 bytes, and a model takes 1,000,000 \('réd car.* shorten it"
    with pytest.raises(InputError, match=told):
        encoder.encode(["car", longer.decode()])
    with pytest.raises(InputError, match=told):
        BagOfWords.fit([("car",), ("réd car", longer.decode()[8:])], vocabulary_size=9)


def test_bad_rows_become_zeros_and_empty_strings():
    rows = tf.constant([[1.0, np.nan], [2, 3], [np.inf, 0]])
    valid = finite(rows)
    assert valid.numpy().tolist() == [False, True, False]
    assert zeros_where_bad(rows, valid).numpy().tolist() == [[0, 0], [2, 3], [0, 0]]
    assert zeros_where_bad(tf.constant(["a", "b", "c"]), valid).numpy().tolist() == [b"", b"b", b""]


def test_a_refusal_names_the_rows():
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1, 3 of `text` is odd"):
        refuse("text", tf.constant([True, False, True, False]), "is odd")
    refuse("text", tf.constant([True, True]), "is odd")
