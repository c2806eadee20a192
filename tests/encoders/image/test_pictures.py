import subprocess
import sys
import textwrap
import zlib
from io import BytesIO

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tfxmodal.encoders.image import Preprocessing
from tfxmodal.encoders.image import pictures as images
from tfxmodal.encoders.image.pictures import BadImage, decode, load_images

SMALL = Preprocessing(32, 24, "none")
TOP, BOTTOM = (200, 60, 20), (10, 90, 240)
GREY_TOP, GREY_BOTTOM = (97, 97, 97), (83, 83, 83)


def two_halves(width=48, height=64):
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2], pixels[height // 2 :] = TOP, BOTTOM
    return Image.fromarray(pixels)


def encode(image, file_format, **options):
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(width=48, height=64):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def sixteen_bits():
    return Image.fromarray(np.asarray(two_halves().convert("L")).astype(np.uint16) * 257)


COLOUR = {
    "jpeg": encode(two_halves(), "JPEG", quality=95),
    "cmyk jpeg": encode(two_halves().convert("CMYK"), "JPEG", quality=95),
    "png": encode(two_halves(), "PNG"),
    "bmp": encode(two_halves(), "BMP"),
    "animated gif": encode(
        two_halves(), "GIF", save_all=True, append_images=[two_halves().rotate(180)]
    ),
}
GREY = {
    "grey jpeg": encode(two_halves().convert("L"), "JPEG"),
    "grey png with alpha": encode(two_halves().convert("LA"), "PNG"),
    "16-bit png": encode(sixteen_bits(), "PNG"),
}


def check_halves(picture, top, bottom):
    assert picture.shape == (24, 24, 3) and picture.dtype == np.float32
    np.testing.assert_allclose(picture[2:10], np.broadcast_to(top, (8, 24, 3)), atol=2)
    np.testing.assert_allclose(picture[14:22], np.broadcast_to(bottom, (8, 24, 3)), atol=2)


@pytest.mark.parametrize("kind", COLOUR)
def test_colour_pictures(kind):
    check_halves(decode(COLOUR[kind], SMALL).numpy(), TOP, BOTTOM)


@pytest.mark.parametrize("kind", GREY)
def test_grey_pictures_get_three_equal_channels(kind):
    check_halves(decode(GREY[kind], SMALL).numpy(), GREY_TOP, GREY_BOTTOM)


def test_crop_is_the_centre_of_the_resized_picture():
    contents = encode(noise(), "PNG")
    whole = decode(contents, Preprocessing(32, 32, "")).numpy()
    np.testing.assert_array_equal(decode(contents, SMALL).numpy(), whole[4:28, 4:28])


def test_large_pictures_are_averaged_not_sampled():
    picture = decode(encode(noise(512, 512), "PNG"), Preprocessing(32, 32, "")).numpy()
    np.testing.assert_allclose(picture, 127.5, atol=25)


def test_decode_is_a_graph_for_serving():
    graph = tf.function(lambda c: decode(c, SMALL), [tf.TensorSpec([], tf.string)])
    assert graph.get_concrete_function().output_shapes == [24, 24, 3]
    np.testing.assert_array_equal(graph(COLOUR["jpeg"]), decode(COLOUR["jpeg"], SMALL))


def read(path):
    ((row, picture),) = load_images([path], SMALL)
    assert row == 0
    return picture


BAD = {
    "empty.jpg": (b"", "empty"),
    "page.jpg": (b"<html>404</html>", "no picture"),
    "cut.jpg": (encode(noise(), "JPEG")[:2000], "cut short"),
    "cut.png": (encode(noise(), "PNG")[:2000], "cut short"),
    "cut.gif": (encode(noise(), "GIF")[:2000], "cut short"),
    "scan.tiff": (encode(noise(), "TIFF")[:3000], "Invalid TIFF data"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_give_a_reason(tmp_path, name):
    contents, reason = BAD[name]
    (tmp_path / name).write_bytes(contents)
    result = read(tmp_path / name)
    assert isinstance(result, BadImage)
    assert reason in result.reason and "\n" not in result.reason


def test_missing_file_and_folder_give_a_reason(tmp_path):
    assert read(tmp_path / "none.jpg") == BadImage("No such file or directory")
    assert read(tmp_path) == BadImage("Is a directory")


def test_huge_pictures_are_refused_by_their_header(tmp_path):
    # A one-pixel PNG whose header claims 20,000 x 10,000: decoding it is never tried.
    contents = bytearray(encode(Image.new("RGB", (1, 1)), "PNG"))
    contents[16:24] = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big")
    contents[29:33] = zlib.crc32(contents[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(contents)
    assert read(tmp_path / "huge.png").reason == "200000000 pixels are more than 100,000,000"


def test_order_is_kept_and_work_is_bounded(tmp_path):
    shades = np.arange(0, 250, 2)
    taken = []

    def paths():
        for shade in shades:
            taken.append(shade)
            path = tmp_path / f"{shade}.png"
            if shade % 10:
                Image.new("L", (8, 8), int(shade)).save(path)
            yield path

    for row, picture in load_images(paths(), Preprocessing(8, 8, "")):
        assert len(taken) <= row + images.AHEAD + 1
        if shades[row] % 10:
            np.testing.assert_allclose(picture, shades[row], atol=1e-3)
        else:
            assert isinstance(picture, BadImage)
    assert row == len(shades) - 1


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([b"", *COLOUR.values(), *GREY.values()]),
    st.binary(max_size=40),
    st.floats(0, 1),
)
def test_damaged_files_never_end_a_run(tmp_path_factory, start, damage, at):
    cut = int(at * len(start))
    path = tmp_path_factory.mktemp("damaged") / "picture"
    path.write_bytes(start[:cut] + damage + start[cut + len(damage) :])
    result = read(path)
    if isinstance(result, BadImage):
        assert result.reason
    else:
        assert np.isfinite(result).all()


def test_processes_that_share_a_cache_list_bad_pictures_at_once(tmp_path):
    code = f"""
        from tfxmodal.encoders.image.pictures import list_bad

        for _ in range(40):
            list_bad({{row: "gone" for row in range(12)}}, ["a"] * 12, {str(tmp_path)!r})
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
