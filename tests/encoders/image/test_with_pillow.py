import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from tests.encoders.image.test_as_seen import SEEN, STORED, smooth, transparent
from tests.encoders.image.test_pictures import read
from tfxmodal.encoders.image.pictures import BadImage
from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_decoded, as_seen


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seen(contents):
    return SEEN(as_decoded(contents)).numpy()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_what_tensorflow_decodes_stays_as_it_is(kind):
    contents = encode(smooth(), kind)
    assert as_decoded(contents) is contents


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
def test_all_orientations_of_converted_kinds(kind):
    options = {
        "TIFF": {"compression": "tiff_lzw"},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }[kind]
    for value in range(1, 9):
        tags = Image.Exif()
        tags[0x0112] = value
        upright = smooth()
        turned = _stored_so_that_it_turns(upright, value)
        contents = encode(turned, kind, exif=tags, **options)
        np.testing.assert_allclose(seen(contents), SEEN(encode(upright, "PNG")), atol=8)


def _stored_so_that_it_turns(upright, value):
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return upright.transpose(inverse[value]) if value > 1 else upright


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "JPEG2000"])
def test_transparent_parts_of_converted_kinds_are_white(kind):
    options = {"AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    expected = SEEN(encode(transparent(), "PNG"))
    np.testing.assert_allclose(seen(encode(transparent(), kind, **options)), expected, atol=8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK", "RGB", "LA"])
def test_tiff_of_any_mode(mode):
    if mode == "I;16":
        image = Image.fromarray(np.asarray(smooth().convert("L")).astype(np.uint16) * 257)
        expected = smooth().convert("L")
    else:
        image = smooth().convert(mode)
        expected = image.convert("RGB")
    np.testing.assert_allclose(seen(encode(image, "TIFF")), SEEN(encode(expected, "PNG")), atol=1)


def test_bitmaps_that_tensorflow_takes_for_others_are_converted():
    for image in (smooth().convert("1"), smooth().quantize(4)):
        contents = encode(image, "BMP")
        expected = SEEN(encode(image.convert("RGB"), "PNG"))
        np.testing.assert_allclose(seen(contents), expected, atol=0.01)


def test_a_heic_picture_is_read_or_told_how(tmp_path, monkeypatch):
    start = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.heic").write_bytes(start)
    told = "HEIC pictures need the package pillow-heif: pip install pillow-heif"
    assert read(tmp_path / "phone.heic") == BadImage(told)
    monkeypatch.undo()
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(smooth()).save(buffer, quality=95)
    # Its colours are kept at half of the resolution.
    assert np.abs(seen(buffer.getvalue()) - SEEN(encode(smooth(), "PNG"))).mean() < 3


@pytest.mark.parametrize(
    "contents, told",
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL pictures are not read: convert it to PNG or JPEG"),
        (b"8BPS" + bytes(40), "Photoshop pictures are not read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG pictures are not read"),
        (encode(smooth(), "TIFF")[:100], "Invalid TIFF data"),
        (encode(smooth(), "AVIF")[:200], "Invalid AVIF data"),
        (encode(Image.new("F", (5, 5)), "TIFF"), "samples of 32 bits"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, contents, told):
    with pytest.raises(UnreadPicture, match=told):
        as_decoded(contents)
    (tmp_path / "picture.jpg").write_bytes(contents)
    assert read(tmp_path / "picture.jpg").reason.startswith(told)


def test_a_large_picture_is_not_decoded(monkeypatch):
    contents = encode(smooth(), "TIFF")
    monkeypatch.setattr("tfxmodal.encoders.image.with_pillow.MAX_PIXELS", 100)
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(UnreadPicture, match="2240 pixels are more than 100"):
        as_decoded(contents)


def test_a_picture_to_be_shown_is_turned_and_over_white(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    path = tmp_path / "picture.png"
    path.write_bytes(encode(transparent(), "PNG", exif=tags))
    expected = Image.alpha_composite(Image.new("RGBA", (40, 56), "white"), transparent())
    expected = expected.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(np.asarray(as_seen(path)), np.asarray(expected))
    np.testing.assert_allclose(SEEN(path.read_bytes()), SEEN(encode(expected, "PNG")), atol=1.5)
    for name in ("gone.png", "page.png"):
        (tmp_path / "page.png").write_bytes(b"<html>")
        with pytest.raises(UnreadPicture):
            as_seen(tmp_path / name)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1", "P", "RGBA", "LA"])
def test_a_small_copy_looks_as_the_picture(kind, mode):
    tags = Image.Exif()
    tags[0x0112] = 6
    image = transparent() if "A" in mode else smooth()
    try:
        contents = encode(image.convert(mode).resize((400, 560)), kind, exif=tags)
    except OSError:
        pytest.skip(f"{kind} knows no {mode}")
    expected = as_seen(contents)
    expected.thumbnail((48, 48))
    found = as_seen(contents, 48)
    assert (found.mode, found.size) == ("RGB", expected.size)
    assert np.abs(np.array(found, float) - np.array(expected, float)).mean() < 5


@pytest.mark.parametrize("longest", [None, 64])
@pytest.mark.parametrize(
    ("kind", "mode", "clear"),
    [
        ("PNG", "I;16", None),
        ("PNG", "I;16", 128 * 301),
        ("TIFF", "I;16", None),
        ("TIFF", "I;16B", None),
        ("JPEG2000", "I;16", None),
    ],
)
def test_grey_of_16_bits_is_shown_as_the_model_sees_it(kind, mode, clear, longest):
    samples = np.tile(128 * np.arange(512), (64, 1)).astype(">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (512, 64), samples.tobytes())
    contents = encode(image, kind, **({"transparency": clear} if clear else {}))
    assert Image.open(io.BytesIO(contents)).mode == mode
    expected = STORED(as_decoded(contents)).numpy()
    assert expected[0, [0, 300, 301, 511], 0].tolist() == [0, 150, 255 if clear else 150, 255]
    expected = Image.fromarray(expected)
    expected.thumbnail((longest or 512, longest or 512))
    found = np.asarray(as_seen(contents, longest), int)
    np.testing.assert_allclose(found, np.asarray(expected, int), atol=2 if clear else 1)


def tiff_of_12_bits(samples, orientation=1):
    """The file; two samples are three bytes."""
    height, width = samples.shape
    one, other = samples.reshape(-1, 2).T
    pixels = np.stack([one >> 4, one % 16 * 16 + (other >> 8), other % 256], axis=1)
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 274: orientation}
    tags |= {277: 1, 278: height, 279: pixels.size}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<2sHI", b"II", 42, 8 + pixels.size) + pixels.astype(np.uint8).tobytes()
    return start + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("orientation", [1, 3])
def test_white_of_12_bits_is_white(orientation):
    samples = np.tile(8 * np.arange(512), (4, 1))
    samples[:, -1] = 4095
    expected = samples // 16 if orientation == 1 else samples[::-1, ::-1] // 16
    contents = tiff_of_12_bits(samples, orientation)
    np.testing.assert_array_equal(STORED(as_decoded(contents)).numpy()[..., 0], expected)
    np.testing.assert_array_equal(np.asarray(as_seen(contents))[..., 0], expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_small_copy_of_a_photo_copies_nothing_large(kind, monkeypatch):
    contents, sizes = encode(smooth(1600, 1200), kind), []
    for name in ("copy", "convert", "transpose"):
        method = getattr(Image.Image, name)

        def noted(self, *arguments, method=method, **options):
            sizes.append(max(self.size))
            return method(self, *arguments, **options)

        monkeypatch.setattr(Image.Image, name, noted)
    assert as_seen(contents, 100).size == (100, 75)
    assert max(sizes) == 100
