import numpy as np
import pytest
from PIL import Image

from tfxmodal.encoders.image import Preprocessing
from tfxmodal.encoders.image.pictures import load_images
from tfxmodal.errors import InputError
from tfxmodal.inputs.pixels import Pixels

SMALL = Preprocessing(20, 16, "none")


@pytest.fixture
def paths(tmp_path):
    """Five pictures and, third of them, a file that is none."""
    rng = np.random.default_rng(0)
    for row in range(6):
        picture = rng.integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{row}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    return [str(tmp_path / f"{row}.png") for row in range(6)]


def test_rows_are_the_good_files_pictures_rounded(paths, tmp_path):
    pixels = Pixels(paths, SMALL, tmp_path, on_bad="skip")
    assert pixels.shape == (5, 16, 16, 3) and len(pixels) == 5
    assert list(pixels.kept) == [0, 1, 3, 4, 5] and list(pixels.bad) == [2]
    assert "2.png: the file is no picture" in pixels.bad[2]
    expected = np.stack([each for row, each in load_images(paths, SMALL) if row != 2])
    for rows in (slice(None), slice(1, 3), np.array([4, 0, 4]), np.array([], int)):
        found = pixels[rows]
        assert found.dtype == np.uint8 == pixels.dtype
        np.testing.assert_array_equal(found, np.rint(expected[rows]))


def test_bad_files_are_refused(paths, tmp_path):
    with pytest.raises(InputError, match=r"1 of 6 images are bad \(row 2: .*`on_bad_image` skip"):
        Pixels(paths, SMALL, tmp_path)
    pixels = Pixels(paths[:2], SMALL, tmp_path)
    (tmp_path / "1.png").unlink()
    pixels[:1]
    with pytest.raises(InputError, match="1.png could be read before.*No such file.*`resume`"):
        pixels[:]


def test_progress_counts_the_files(paths, tmp_path):
    told = {}

    def progress(items, **options):
        told.update(options)
        return items

    Pixels(paths, SMALL, tmp_path, "skip", progress)
    assert told == {"total": 6, "desc": "pictures"}
