"""Runs the small inputs that went wrong once, and prints a line for each: `python -m tests.cases`.

The inputs lie in `../shared/cases` beside the checkout; its README tells what each is.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfxmodal.data.datasets import features, flickr8k
from tfxmodal.data.manifest import load as load_pairs
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import ImageEncoder, extract, load_image_encoder
from tfxmodal.encoders.image.image_encoder import Preprocessing
from tfxmodal.encoders.image.pictures import BadImage, load_images
from tfxmodal.encoders.text.bag_of_words import BagOfWords, document
from tfxmodal.encoders.text.word_vectors import load_word_vectors
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import evaluate_pairs
from tfxmodal.methods import METHODS

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "cases"
HOW = Preprocessing(64, 64, "none")
SAME, OTHER = 2.0, 5.0
"""Mean difference of two pictures, of 255: less is JPEG's loss, and more another picture."""

CASES: dict[str, Callable[[], str]] = {}
"""By name what runs a case: it tells what was found, or raises AssertionError."""


def case(title: str, /, **options):
    """Adds a function to the cases."""

    def add(function):
        CASES[title] = lambda: function(**options)
        return function

    return add


def picture(name: str) -> np.ndarray | BadImage:
    """A case's picture as a method sees it."""
    ((_, found),) = load_images([FOLDER / "images" / name], HOW)
    return found


def seen(name: str) -> np.ndarray:
    """A case's picture, which must be read."""
    found = picture(name)
    assert not isinstance(found, BadImage), f"{name} is refused: {found.reason}"
    return found


def difference(name: str, other: str) -> float:
    """Mean difference of two pictures."""
    return float(np.abs(seen(name) - seen(other)).mean())


def refusal(work: Callable) -> str:
    """The sentence with which work on a case is refused."""
    try:
        work()
    except InputError as error:
        return str(error)
    raise AssertionError("was read")


@case("images/exif3.jpg", name="exif3.jpg", other="upright.jpg")
@case("images/exif6.jpg", name="exif6.jpg", other="upright.jpg")
@case("images/exif8.jpg", name="exif8.jpg", other="upright.jpg")
@case("images/logo_rgba.png", name="logo_rgba.png", other="logo_on_white.png")
@case("images/blacklogo_rgba.png", name="blacklogo_rgba.png", other="blacklogo_on_white.png")
def equal_pictures(name: str, other: str) -> str:
    """Two files that show the same."""
    found = difference(name, other)
    assert found < SAME, f"differs from {other} by {found:.1f} of 255"
    return f"as {other} (difference {found:.2f} of 255)"


@case("images/icon_cross.png")
def icons_that_differ() -> str:
    """Two black icons on transparent ground."""
    found = difference("icon_cross.png", "icon_bar.png")
    assert found > OTHER, "is the same as icon_bar.png"
    return f"differs from icon_bar.png by {found:.1f} of 255"


@case("images/palette_alpha.png", name="palette_alpha.png")
@case("images/transparent.gif", name="transparent.gif")
@case("images/alpha.webp", name="alpha.webp")
@case("images/animated.webp", name="animated.webp")
def read_over_white(name: str) -> str:
    """A picture that Pillow shows on white as it should be."""
    from PIL import Image

    with Image.open(FOLDER / "images" / name) as file:
        first = file.convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", first.size, "white"), first).convert("RGB")
    expected = np.asarray(white.resize((64, 64), Image.Resampling.BILINEAR), np.float32)
    assert np.ptp(seen(name)) > 50, "is of one colour"
    found = float(np.abs(seen(name) - expected).mean())
    assert found < SAME, f"differs from Pillow's picture on white by {found:.1f} of 255"
    return f"as Pillow's picture on white (difference {found:.2f} of 255)"


@case("images/zero_filled_tail.jpg")
def zeros_are_damage() -> str:
    """A photo whose end is zeros, as an interrupted download leaves it."""
    seen("photo.jpg")
    found = picture("zero_filled_tail.jpg")
    assert isinstance(found, BadImage), "was read"
    assert found.reason == "the file is cut short, or parts of it were never filled in"
    return found.reason


@case("csv_swallow")
def swallowed_rows() -> str:
    """A quote that swallows the rows after it."""
    told = refusal(lambda: load_pairs(FOLDER / "csv_swallow" / "pairs.csv"))
    assert "Line 5 " in told, told
    return told


@case("flickr8k/blank_line")
def blank_line() -> str:
    """A token file with an empty last line."""
    loaded = flickr8k.load(FOLDER / "flickr8k" / "blank_line")
    sizes = {name: len(pairs) for name, pairs in loaded.splits()}
    assert min(sizes.values()) > 0, sizes
    return f"read: {sizes}"


@case("features/transposed")
def transposed() -> str:
    """Arrays [dim, n]."""
    told = refusal(lambda: features.load(FOLDER / "features" / "transposed"))
    assert "transposed" in told, told
    return told


@case("features/minus_one_unlabelled")
def minus_one() -> str:
    """Labels of -1."""
    train = features.load(FOLDER / "features" / "minus_one_unlabelled").train
    written = np.load(FOLDER / "features" / "minus_one_unlabelled" / "train_lab.npy")
    assert train.unlabelled == np.count_nonzero(written == -1) > 0
    return f"{train.unlabelled} of {len(train)} training rows have no label"


@case("features/repeat5")
def repeated_rows() -> str:
    """Image rows repeated once a caption, against one caption an image."""
    recalls = {}
    for name in ("plain", "repeat5"):
        data = features.load(FOLDER / "features" / name)
        spec = METHODS["pls"]
        scorer = spec.fit(data.train, data.validation, spec.config(), "recall").scorer()
        recalls[name] = evaluate_pairs(scorer, data.test)["recall_at"]["average"]["1"]
    assert abs(recalls["repeat5"] - recalls["plain"]) < 0.1, recalls
    return f"R@1 of PLS {recalls['repeat5']:.3f}, with one caption an image {recalls['plain']:.3f}"


@case("chinese_unique")
def without_spaces() -> str:
    """Chinese sentences without spaces, against the same with a space after every character."""
    encoder, spec, found = load_image_encoder("efficientnet_lite0"), METHODS["ridge_cca"], {}
    for name in ("chinese_unique", "chinese_unique_spaced"):
        data = load_pairs(FOLDER / name / "pairs.jsonl")
        bag = BagOfWords.fit(data.train.texts, 3000)
        splits = {
            split: pairs.with_features(
                pictures(encoder, pairs), bag.encode([document(each) for each in pairs.texts])
            )
            for split, pairs in data.splits()
        }
        scorer = spec.fit(splits["train"], splits["validation"], spec.config()).scorer()
        found[name] = evaluate_pairs(scorer, splits["test"])["map_all"]["average"]
    plain, spaced = found.values()
    assert plain >= 0.9 and abs(plain - spaced) <= 0.03, found
    return f"mAP of ridge CCA {plain:.3f}, with spaces {spaced:.3f}"


def pictures(encoder: ImageEncoder, pairs: Pairs) -> np.ndarray:
    """Features of the images of pairs."""
    read = [each for _, each in load_images(pairs.images, encoder.preprocessing)]
    return extract(encoder, np.stack(read))


@case("word_vectors/w2v_for_base.txt")
def few_words() -> str:
    """Vectors that know almost none of the words."""
    words = ["dog", "cat", "a", "der", "house", "sea", "red", "green", "car", "boat", "tree"]
    path = FOLDER / "word_vectors" / "w2v_for_base.txt"
    told = load_word_vectors(str(path), words).coverage(str(path.name), words)
    assert "of 11 words" in told, told
    return told


@case("word_vectors/bom.txt")
def byte_order_mark() -> str:
    """A byte order mark before the first word."""
    found = load_word_vectors(str(FOLDER / "word_vectors" / "bom.txt"), ["dog", "cat"])
    assert found.known.all(), "the first word is not known"
    return "the first word is known"


def main():
    """Prints a line for each case, and ends with status 1 where one fails."""
    if not FOLDER.is_dir():
        print(f"Skipped: there is no {FOLDER}.")
        return
    failed = 0
    for name, run in CASES.items():
        try:
            told = f"ok      {name}: {run()}"
        except AssertionError as error:
            told, failed = f"FAILED  {name}: {error}", failed + 1
        print(" ".join(told.split()) if "\n" in told else told, flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
