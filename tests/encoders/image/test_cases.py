"""The pictures of `../shared/cases/images`: a line a case, what is right beside what is seen."""

from pathlib import Path

import numpy as np
import pytest

from tests.encoders.image.test_as_seen import SEEN
from tests.encoders.image.test_pictures import read
from tfxmodal.encoders.image.pictures import BadImage

CASES = Path(__file__).parents[4] / "shared" / "cases" / "images"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")

ALIKE = {
    "exif3.jpg": "upright.jpg",
    "exif6.jpg": "upright.jpg",
    "exif8.jpg": "upright.jpg",
    "blacklogo_rgba.png": "blacklogo_on_white.png",
    "logo_rgba.png": "logo_on_white.png",
}


def seen(name):
    return SEEN((CASES / name).read_bytes()).numpy()


@pytest.mark.parametrize("name", ALIKE)
def test_one_picture_in_two_forms_is_one(name):
    furthest = np.abs(seen(name) - seen(ALIKE[name])).mean()
    print(f"{name} and {ALIKE[name]}: {furthest:.2f} of 255 apart")
    assert furthest < 2


@pytest.mark.parametrize(
    "name", ["palette_alpha.png", "transparent.gif", "alpha.webp", "animated.webp"]
)
def test_a_transparent_or_animated_picture_is_read(name):
    picture = seen(name)
    print(f"{name}: mean {picture.mean():.0f}")
    assert np.ptp(picture) > 50


def test_two_icons_differ():
    assert np.abs(seen("icon_cross.png") - seen("icon_bar.png")).mean() > 5


def test_a_picture_that_was_not_filled_is_bad():
    whole, filled = (read(CASES / name) for name in ("photo.jpg", "zero_filled_tail.jpg"))
    assert not isinstance(whole, BadImage)
    assert filled == BadImage("the file is cut short, or parts of it were never filled in")
