"""What files tell before they are decoded: their sizes, and whether they are whole."""

import io
import re
import struct
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tfxmodal.encoders.image import formats
from tfxmodal.encoders.image.formats.file_bytes import WORD, FileBytes, longest_zeros
from tfxmodal.io.picture_kinds import picture_kind

SPEC = [tf.TensorSpec([], tf.string)]
STORED = tf.function(lambda contents: formats.read(contents).image, SPEC, autograph=False)
CUT = b"the file is cut short, or parts of it were never filled in"


@cache
def fault_graph(kind):
    return tf.function(lambda contents: formats.fault(kind, contents), SPEC, autograph=False)


def fault(contents):
    return fault_graph(picture_kind(contents))(contents).numpy()


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width=37, height=21):
    pixels = np.random.default_rng(0).integers(0, 256, [height, width, 3], np.uint8)
    return Image.fromarray(pixels)


def photo(width=320, height=240):
    """As a photo: smooth, with details."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 12, [height, width, 1])
    pixels = np.stack([x / 2, y, 128 + 90 * np.sin(x / 9) * np.cos(y / 7)], -1) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


WRITTEN = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": b"Exif\0\0"}),  # extended
]


@pytest.mark.parametrize("kind, options", WRITTEN)
def test_the_size_that_a_file_says(kind, options):
    for size in ((37, 21), (1, 1), (300, 5)):
        contents = encode(noise(*size), kind, **options)
        header = formats.KINDS[picture_kind(contents)].header(FileBytes(tf.constant(contents)))
        assert (header.width, header.height, header.cut) == (*size, False)
        assert fault(contents) == b""


def test_a_bitmap_from_top_to_bottom():
    pixels = np.asarray(noise())
    contents = bytearray(encode(noise(), "BMP"))
    contents[22:26] = struct.pack("<i", -21)
    np.testing.assert_array_equal(STORED(bytes(contents)), pixels[::-1])


def test_bitmaps_that_the_decoder_takes_for_others_are_not_known():
    contents = encode(noise(), "BMP")
    for at, value in ((30, 1), (28, 16), (14, 12)):  # run lengths, 16 bits, the header of OS/2
        changed = contents[:at] + struct.pack("<H", value) + contents[at + 2 :]
        with pytest.raises(tf.errors.InvalidArgumentError, match="no picture of a known format"):
            STORED(changed)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        [
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"BM" + bytes(12) + b"\x28\0\0\0",
            b"RIFF1234WEBPVP8X",
        ]
    ),
    st.binary(max_size=80),
)
def test_no_header_fails(start, rest):
    told = fault(start + rest)
    assert told in (b"", CUT) or re.fullmatch(rb"\d+ pixels are more than 100,000,000", told)


def gif_with_a_small_first_frame():
    """A screen of 40 x 30; the first frame, 10 x 8, stands at (5, 7)."""
    frame = encode(noise(10, 8).quantize(16), "GIF")
    start = frame.index(b",\0\0\0\0")
    return (
        frame[:6]
        + struct.pack("<HH", 40, 30)
        + frame[10:start]
        + struct.pack("<BHH", 0x2C, 5, 7)
        + frame[start + 5 :]
    )


def test_a_first_frame_is_placed_on_its_screen():
    contents = gif_with_a_small_first_frame()
    found = STORED(contents).numpy()
    assert found.shape == (30, 40, 3)
    frame = np.asarray(noise(10, 8).quantize(16).convert("RGB"))
    np.testing.assert_array_equal(found[7:15, 5:15], frame)
    found[7:15, 5:15] = 255
    assert (found == 255).all()


def test_an_animation_is_read_by_its_first_frame_alone():
    """What is wrong with a later frame, or how large it is, harms none."""
    frames = [noise(40, 30).quantize(16), Image.new("RGB", (40, 30), "red").quantize(4)]
    whole = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = whole.rindex(b",\0\0\0\0")
    huge = whole[: second + 5] + b"\xff\xff\xff\xff" + whole[second + 9 :]
    for contents in (whole, huge, whole[: second + 14]):
        np.testing.assert_array_equal(STORED(contents), np.asarray(frames[0].convert("RGB")))
        assert fault(contents) == b""


def test_a_frame_larger_than_its_screen_counts():
    contents = bytearray(encode(noise(10, 8).quantize(16), "GIF"))
    start = contents.index(b",\0\0\0\0")
    contents[start + 5 : start + 9] = struct.pack("<HH", 20_000, 20_000)
    assert fault(bytes(contents)) == b"400000000 pixels are more than 100,000,000"


def zero_filled(contents, share, end=b""):
    """As an interrupted download leaves it, in a file that had its full length from the start."""
    kept = int((1 - share) * len(contents))
    return contents[:kept] + bytes(len(contents) - kept - len(end)) + end


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "kind, options, end",
    [
        ("JPEG", {}, b""),
        ("JPEG", {}, b"\xff\xd9"),
        ("JPEG", {"quality": 95}, b"\xff\xd9"),
        ("JPEG", {"progressive": True}, b""),
        ("PNG", {}, b""),
        ("GIF", {}, b""),
        ("WEBP", {}, b""),
        ("WEBP", {"lossless": True}, b""),
    ],
)
def test_files_that_were_not_filled_to_their_end_are_refused(kind, options, end, share):
    contents = encode(photo(), kind, **options)
    STORED(contents)
    filled = zero_filled(contents, share, end)
    if fault(filled) != CUT:
        with pytest.raises(tf.errors.InvalidArgumentError):
            STORED(filled)


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=9)), max_size=6))
def test_the_longest_run_of_zeros(parts):
    contents = b"".join(bytes(zeros) + other for zeros, other in parts)
    longest = max((len(run) for run in re.findall(b"\0*", contents)), default=0)
    found = int(longest_zeros(tf.constant(contents)))
    assert longest - 2 * WORD < found <= longest


def test_a_header_of_absurd_size_costs_nothing():
    huge = b"RIFF" + struct.pack("<I", 1000) + b"WEBPVP8X\n\0\0\0\x02\0\0\0" + b"\xff" * 6
    assert b"pixels are more than" in fault(huge + bytes(978))


def test_a_gap_in_a_jpeg_is_found():
    contents = encode(photo(), "JPEG", quality=90)
    half = len(contents) // 2
    for size in (150, 4096):
        assert fault(contents[:half] + bytes(size) + contents[half + size :]) == CUT


def test_zeros_behind_the_end_and_before_the_data_are_none_of_its():
    contents = encode(photo(), "JPEG")
    assert fault(contents + bytes(100_000)) == b""
    assert fault(encode(photo(), "JPEG", comment=bytes(60_000))) == b""
    assert fault(encode(photo(), "PNG") + bytes(10_000)) == b""


@pytest.mark.parametrize("kind, options", WRITTEN[:4] + WRITTEN[5:7])
def test_files_cut_short_are_refused(kind, options):
    contents = encode(photo(), kind, **options)
    for share in (0.3, 0.7, 0.98):
        cut = contents[: int(share * len(contents))]
        if fault(cut) != CUT:
            with pytest.raises(tf.errors.InvalidArgumentError):
                STORED(cut)


FLAT = [
    Image.new("RGB", (900, 700), "white"),
    Image.new("L", (900, 700), 0),
    Image.fromarray(np.tile(np.arange(0, 256, dtype=np.uint8), (300, 3))),
    Image.fromarray(np.tile(np.arange(0, 256, dtype=np.uint8)[:, None], (2, 900))),
    Image.fromarray(np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (400, 50))),
    Image.fromarray(np.tile(np.array([[0, 255], [255, 0]], np.uint8), (200, 300))),
]
DRAWN = Image.new("RGB", (640, 480), "navy")
for _ring in range(9):
    ImageDraw.Draw(DRAWN).ellipse((40 * _ring, 20 * _ring, 640, 400), outline="red", width=5)
    ImageDraw.Draw(DRAWN).rectangle((9 * _ring, 400, 30 + 60 * _ring, 460 - _ring), fill="white")
LETTERBOX = Image.new("RGB", (640, 960))
LETTERBOX.paste(photo(640, 400), (0, 280))


@settings(max_examples=80, deadline=None)
@given(
    image=st.sampled_from([*FLAT, DRAWN, LETTERBOX, photo(), noise()]),
    mode=st.sampled_from(["L", "RGB"]),
    kind=st.sampled_from(["JPEG", "WEBP", "PNG", "GIF"]),
    quality=st.integers(1, 95),
    optimize=st.booleans(),
    progressive=st.booleans(),
    subsampling=st.integers(0, 2),
    lossless=st.booleans(),
)
def test_no_whole_picture_is_refused(
    image, mode, kind, quality, optimize, progressive, subsampling, lossless
):
    options = {
        "JPEG": {
            "quality": quality,
            "optimize": optimize,
            "progressive": progressive,
            "subsampling": subsampling,
        },
        "WEBP": {"quality": quality, "lossless": lossless},
    }.get(kind, {})
    assert fault(encode(image.convert(mode), kind, **options)) == b""
