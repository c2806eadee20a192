"""Pictures decoded as a person sees them; Pillow is the oracle."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from tfxmodal.encoders.image import formats
from tfxmodal.encoders.image.formats import png
from tfxmodal.encoders.image.formats.exif import orientation
from tfxmodal.encoders.image.image_encoder import Preprocessing
from tfxmodal.encoders.image.pictures import decode

SIDE = 24
WHOLE = Preprocessing(SIDE, SIDE, "")
ODD = Preprocessing(SIDE + 1, SIDE, "")  # no crop is at its very centre


def graph(function):
    return tf.function(function, [tf.TensorSpec([], tf.string)], autograph=False)


SEEN = graph(lambda contents: decode(contents, WHOLE))
STORED = graph(lambda contents: formats.read(contents).image)
ORIENTATION = graph(orientation)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(width=40, height=56):
    """A picture that JPEG keeps, and of which no turn is like another."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, 255 * (x > y)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def with_orientation(value, kind, order="little", **options):
    tags = Image.Exif()
    tags.endian = "<" if order == "little" else ">"
    tags[0x010F] = "a maker"
    tags[0x0112] = value
    return encode(smooth(), kind, exif=tags.tobytes(), **options)


KINDS = {
    "JPEG": ("JPEG", {"quality": 95}),
    "progressive JPEG": ("JPEG", {"quality": 95, "progressive": True}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"lossless": True}),
    "lossy WebP": ("WEBP", {"quality": 95}),
}


@pytest.mark.parametrize("how", KINDS)
def test_all_orientations_are_applied(how):
    kind, options = KINDS[how]
    for value in range(1, 9):
        contents = with_orientation(value, kind, "big" if value % 2 else "little", **options)
        stored = Image.open(io.BytesIO(contents))
        turned = ImageOps.exif_transpose(stored).convert("RGB")
        assert (turned.size == stored.size) == (value < 5)
        expected = SEEN(encode(turned, "PNG"))
        # A JPEG's colours differ a little between the two decoders.
        np.testing.assert_allclose(SEEN(contents), expected, atol=6 if kind == "JPEG" else 0.01)
    assert np.abs(expected - SEEN(encode(stored.convert("RGB"), "PNG"))).max() > 100


def test_a_turned_picture_is_cropped_at_its_own_centre():
    for value in range(1, 9):
        contents = with_orientation(value, "PNG")
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
        expected = decode(encode(turned, "PNG"), ODD)
        np.testing.assert_allclose(decode(contents, ODD), expected, atol=0.01)


def test_an_exif_chunk_behind_the_data_is_found():
    contents = with_orientation(6, "PNG")
    start = contents.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(contents[start : start + 4])
    moved = contents[:start] + contents[end:-12] + contents[start:end] + contents[-12:]
    np.testing.assert_array_equal(SEEN(moved), SEEN(contents))


def test_the_mark_of_exif_in_other_places_turns_nothing():
    upright = encode(smooth(), "JPEG", quality=95, comment=b"Exif\0\0MM\0*")
    np.testing.assert_array_equal(SEEN(upright), SEEN(encode(smooth(), "JPEG", quality=95)))
    info = PngInfo()
    info.add_text("Comment", "eXIf tRNS iCCP IEND")
    plain = encode(smooth(), "PNG")
    np.testing.assert_array_equal(SEEN(encode(smooth(), "PNG", pnginfo=info)), SEEN(plain))


def block(entries, order="<", ifd=8, count=None, magic=None):
    """An Exif block; entries are (tag, type, count, value)."""
    start = magic or (b"II*\0" if order == "<" else b"MM\0*")
    body = struct.pack(f"{order}IH", ifd, len(entries) if count is None else count)
    return start + body + b"".join(entry(order, *each) for each in entries) + bytes(4)


def entry(order, tag, kind, count, value):
    size = {1: "B", 3: "H", 4: "I"}.get(kind, "I")
    return struct.pack(f"{order}HHI", tag, kind, count) + struct.pack(order + size, value).ljust(
        4, b"\0"
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_an_orientation_of_any_whole_type(order, kind):
    entries = [(0x0100, 3, 1, 7), (0x0112, kind, 1, 6), (0x0112, kind, 1, 3)]
    assert ORIENTATION(block(entries, order)) == 6
    assert ORIENTATION(b"Exif\0\0" + block(entries, order)) == 6


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"II",
        block([(0x0112, 3, 1, 0)]),
        block([(0x0112, 3, 1, 9)]),
        block([(0x0112, 3, 1, 65535)]),
        block([(0x0112, 2, 1, 6)]),  # a text
        block([(0x0112, 3, 2, 6)]),  # two of them
        block([(0x0112, 3, 1, 6)], magic=b"II+\0"),
        block([(0x0112, 3, 1, 6)], ifd=2**32 - 1),
        block([(0x0112, 3, 1, 6)], ifd=0),
        block([(0x0112, 3, 1, 6)])[:15],
        block([(0x0100, 3, 1, 6)], count=65535),
    ],
)
def test_a_damaged_block_tells_upright(damaged):
    assert ORIENTATION(damaged) == 1


def test_a_block_that_claims_more_entries_than_it_has():
    assert ORIENTATION(block([(0x0112, 3, 1, 6)], count=65535)) == 6


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0MM\0*\0\0\0\x08"])
)
def test_no_block_fails(rest, start):
    assert 1 <= ORIENTATION(start + rest) <= 8


def transparent():
    """Alpha from 0 to 255 over hidden colours."""
    image = smooth().convert("RGBA")
    alpha = np.clip(np.linspace(-100, 255, 40), 0, 255)
    image.putalpha(Image.fromarray(np.tile(alpha.astype(np.uint8), (56, 1))))
    return image


def keyed(mode, colour, **options):
    """A picture without alpha of which one colour is told to be transparent."""
    image = smooth().convert("RGB").quantize(16).convert(mode)
    return encode(image, "PNG", transparency=image.getpixel((0, 0)) if colour else None, **options)


def on_white(contents):
    """What Pillow makes of it."""
    image = Image.open(io.BytesIO(contents)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def palette(colours, **options):
    image = transparent().quantize(colours)
    return encode(image, "PNG", **options)


def png16(channels):
    """A 16-bit PNG of grey and alpha or RGBA, written by TensorFlow."""
    pixels = np.asarray(transparent()).astype(np.uint16) * 257
    pixels = pixels[..., :4] if channels == 4 else pixels[..., 2:]
    return tf.io.encode_png(pixels).numpy()


TRANSPARENT = {
    "RGBA PNG": encode(transparent(), "PNG"),
    "grey PNG": encode(transparent().convert("LA"), "PNG"),
    "palette of 256": palette(256),
    "palette of 4": palette(4),
    "palette of 2": palette(2),
    "RGB with a key": keyed("RGB", True),
    "grey with a key": keyed("L", True),
    "1 bit with a key": encode(smooth().convert("1"), "PNG", transparency=0),
    "RGBA of 16 bits": png16(4),
    "GIF": encode(transparent(), "GIF"),
    "animated GIF": encode(transparent(), "GIF", save_all=True, append_images=[smooth()]),
    "WebP": encode(transparent(), "WEBP", lossless=True, exact=True),
    "lossy WebP": encode(transparent(), "WEBP", quality=90),
    "animated WebP": encode(
        transparent(), "WEBP", save_all=True, append_images=[smooth()], lossless=True
    ),
}


@pytest.mark.parametrize("how", TRANSPARENT)
def test_transparent_parts_are_white(how):
    contents = TRANSPARENT[how]
    expected = np.asarray(on_white(contents)).astype(int)
    hidden = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB")).astype(int)
    assert np.abs(expected - hidden).max() > 100
    np.testing.assert_allclose(STORED(contents).numpy().astype(int), expected, atol=1)


OPAQUE = {
    "palette of 2": encode(smooth().quantize(2), "PNG"),
    "palette of 16": encode(smooth().quantize(16), "PNG"),
    "1 bit": encode(smooth().convert("1"), "PNG"),
    "grey": encode(smooth().convert("L"), "PNG"),
    "interlaced GIF": encode(smooth().quantize(64), "GIF", interlace=True),
    "GIF of 3 colours": encode(smooth().quantize(3), "GIF"),
    "BMP": encode(smooth(), "BMP"),
    "BMP of 32 bits": encode(smooth().convert("RGBA"), "BMP"),
    "BMP of a palette": encode(smooth().quantize(16).convert("P"), "BMP"),
    "grey BMP": encode(smooth().convert("L"), "BMP"),
    "WebP": encode(smooth(), "WEBP", lossless=True),
    "animated WebP": encode(smooth(), "WEBP", save_all=True, append_images=[transparent()]),
}


@pytest.mark.parametrize("how", OPAQUE)
def test_opaque_pictures_stay_as_they_are(how):
    expected = np.asarray(Image.open(io.BytesIO(OPAQUE[how])).convert("RGB"))
    np.testing.assert_array_equal(STORED(OPAQUE[how]), expected)


def test_a_colour_profile_changes_nothing_and_never_reaches_the_decoder():
    """libpng finds fault with this one, and TensorFlow would log a line for each such picture."""
    plain = encode(smooth(), "PNG")
    odd = encode(smooth(), "PNG", icc_profile=b"\0\0\0\x84odd " + bytes(124))
    assert odd != plain and png._chunks(formats.FileBytes(tf.constant(odd)))[2] == plain
    np.testing.assert_array_equal(SEEN(odd), SEEN(plain))
