import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tfxmodal.encoders.image.headers import LENGTH, count_pixels, is_jpeg


def encoded(kind: str, size=(37, 21), **options) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, [size[1], size[0], 3], np.uint8)
    Image.fromarray(noise).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind, options",
    [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0"}),  # extended
    ],
)
def test_the_size_that_a_file_says(kind, options):
    contents = [encoded(kind, size, **options) for size in ((37, 21), (1, 1), (300, 5))]
    assert count_pixels(tf.constant(contents)).numpy().tolist() == [37 * 21, 1, 1500]
    assert not is_jpeg(tf.constant(contents)).numpy().any()


def test_a_bitmap_from_top_to_bottom():
    header = b"BM" + bytes(16) + struct.pack("<ii", 40, -30)
    assert count_pixels(tf.constant([header])).numpy().tolist() == [1200]


def test_sizes_that_no_picture_should_have():
    huge = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 2**16, 2**15)
    assert count_pixels(tf.constant([huge, encoded("PNG")])).numpy().tolist() == [2**31, 777]


def test_jpeg_is_known_by_its_start():
    files = tf.constant([encoded("JPEG"), b"\xff\xd8", encoded("PNG")])
    assert is_jpeg(files).numpy().tolist() == [True, False, False]
    assert count_pixels(files).numpy()[0] == 0


@given(st.lists(st.binary(max_size=2 * LENGTH), max_size=4))
def test_it_never_fails(files):
    assert count_pixels(tf.constant(files, tf.string, [len(files)])).shape == [len(files)]
