import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import Extractor, extract
from tfxmodal.encoders.image.pictures import BadImage, load_images
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.encoders.weights import initial_weights
from tfxmodal.errors import InputError
from tfxmodal.inputs import features
from tfxmodal.inputs.features import caption_features, check_files, image_features, text_features
from tfxmodal.inputs.raw import without_bad
from tfxmodal.io.reporter import Reporter


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for row in range(6):
        picture = rng.integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{row}.png")
    return [str(folder / f"{row}.png") for row in range(6)]


@pytest.fixture
def computed(monkeypatch):
    """How many pictures were encoded at a time."""
    counts = []

    class Counted(Extractor):
        def __call__(self, images):
            counts.append(len(images))
            return super().__call__(images)

    monkeypatch.setattr(features, "Extractor", Counted)
    return counts


def expected(encoder, paths):
    pictures = [picture for _, picture in load_images(paths, encoder.preprocessing)]
    return extract(encoder, np.stack(pictures))


def test_features_are_those_of_the_pictures(encoder, photos, tmp_path):
    found = image_features(encoder, photos, tmp_path / "cache")
    assert found.shape == (6, encoder.dim)
    np.testing.assert_allclose(found[:], expected(encoder, photos), rtol=1e-5, atol=1e-6)


def test_recopied_and_deleted_photos_are_found(encoder, photos, tmp_path, computed):
    first = image_features(encoder, photos, tmp_path / "cache")[:]
    shutil.copytree(tmp_path / "photos", tmp_path / "copied")
    copies = [path.replace("photos", "copied") for path in photos]
    for path in copies:
        os.utime(path, (1, 1))
    np.testing.assert_array_equal(image_features(encoder, copies, tmp_path / "cache")[:], first)
    shutil.rmtree(tmp_path / "photos")
    np.testing.assert_array_equal(image_features(encoder, photos, tmp_path / "cache")[:], first)
    assert computed == [6]


def test_a_photo_more_costs_one_and_a_changed_one_is_seen(encoder, photos, tmp_path, computed):
    image_features(encoder, photos[:5], tmp_path / "cache")
    image_features(encoder, photos, tmp_path / "cache")
    assert computed == [5, 1]
    Image.new("RGB", (30, 40), "red").save(photos[2])
    found = image_features(encoder, photos, tmp_path / "cache")
    assert computed == [5, 1, 1]
    np.testing.assert_allclose(found[:], expected(encoder, photos), rtol=1e-5, atol=1e-6)


def test_bad_photos_are_refused_or_left_out_by_their_names(encoder, photos, tmp_path, computed):
    (tmp_path / "photos" / "1.png").write_bytes(b"no picture")
    (tmp_path / "photos" / "4.png").unlink()
    message = r"2 of 6 images are bad \(row 1: .*1.png: the file is no pict.*No such file.*`on_bad_"
    with pytest.raises(InputError, match=message):
        image_features(encoder, photos, tmp_path / "cache")
    found = image_features(encoder, photos, tmp_path / "cache", on_bad="skip")
    assert list(found.kept) == [0, 2, 3, 5] and computed == [4]
    assert found.bad[4] == f"{photos[4]}: No such file or directory"
    for row in (1, 4):
        shutil.copy(photos[0], photos[row])
    assert len(image_features(encoder, photos, tmp_path / "cache")) == 6
    assert computed == [4]  # the copies' content is known


def test_a_file_that_can_be_decoded_by_now_is_tried_again(
    encoder, photos, tmp_path, monkeypatch, computed
):
    monkeypatch.setattr(
        features,
        "load_images",
        lambda paths, how: ((row, BadImage("")) for row, _ in enumerate(paths)),
    )
    assert len(image_features(encoder, photos, tmp_path / "cache", on_bad="skip")) == 0
    monkeypatch.undo()
    assert len(image_features(encoder, photos, tmp_path / "cache", on_bad="skip")) == 6


def test_a_photo_that_only_decoding_finds_bad_is_told_too(encoder, photos, tmp_path, computed):
    for row in (1, 4):
        contents = bytearray(open(photos[row], "rb").read())
        contents[len(contents) // 2] ^= 255
        open(photos[row], "wb").write(contents)
    with pytest.raises(InputError, match="2 of 6 .*1.png: Invalid PNG data.*4.png: Invalid PNG"):
        image_features(encoder, photos, tmp_path / "cache")
    assert computed == [4]


def test_bad_photos_are_found_before_any_is_encoded_and_all_are_told(
    encoder, photos, tmp_path, computed
):
    for row, path in enumerate(photos):
        if row:
            contents = open(path, "rb").read()
            open(path, "wb").write([b"", b"text", contents[:-20], b"<svg/>", b"GIF8"][row - 1])
    with pytest.raises(InputError, match="5 of 6 images are bad") as refused:
        check_files(encoder, photos, tmp_path / "cache")
    assert not computed
    for path in photos[1:]:
        assert path in str(refused.value)


def test_many_bad_photos_are_listed_in_a_file(encoder, tmp_path):
    paths = []
    for row in range(12):
        paths.append(str(tmp_path / f"{row}.png"))
        open(paths[-1], "wb").write(b"text" * row)
    with pytest.raises(InputError, match=r"12 of 12 .*all are listed in .*bad_images") as told:
        image_features(encoder, paths, tmp_path / "cache")
    (listed,) = (tmp_path / "cache").glob("bad_images*.txt")
    assert str(listed) in str(told.value)
    assert paths[9] in str(told.value) and paths[10] not in str(told.value)
    lines = listed.read_text().splitlines()
    assert [path in line for path, line in zip(paths, lines, strict=True)] == [True] * 12
    with pytest.raises(InputError):
        image_features(encoder, paths[1:], tmp_path / "cache")
    assert listed.read_text().splitlines() == lines


def test_each_split_lists_the_photos_that_it_leaves_out(encoder, photos, tmp_path):
    said, reporter = [], Reporter()
    reporter.say = said.append
    for split in ("train", "validation"):
        bad = [str(tmp_path / f"{split}{row}.png") for row in range(11)]
        pairs = Pairs(np.arange(12), np.array([photos[0], *bad]), [("a",)] * 12)
        found = image_features(encoder, pairs.images, tmp_path / "cache", on_bad="skip")
        assert len(without_bad(split, pairs, found, tmp_path / "cache", reporter)) == 1
    for split, line in zip(("train", "validation"), said, strict=True):
        (listed,) = (tmp_path / "cache").glob(f"bad_images_{split}-*.txt")
        assert str(listed) in line and listed.read_text().count(split) == 11


def test_every_batch_of_pictures_is_a_sign_of_life(encoder, tmp_path, monkeypatch):
    signs = []
    monkeypatch.setattr(features.FeatureCache, "alive", lambda cache: signs.append(cache))
    for row in range(40):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(tmp_path / f"{row}.png")
    image_features(encoder, sorted(tmp_path.glob("*.png")), tmp_path / "cache")
    assert len(signs) == 2


def test_features_of_another_decoding_are_not_taken(
    encoder, photos, tmp_path, computed, monkeypatch
):
    image_features(encoder, photos, tmp_path / "cache")
    monkeypatch.setattr(features, "DECODING", features.DECODING + 1)
    image_features(encoder, photos, tmp_path / "cache")
    assert computed == [6, 6]


def test_each_space_has_its_folder(encoder, photos, tmp_path):
    one = image_features(encoder, photos, tmp_path / "cache")
    with initial_weights(1):
        other = image_features(tiny_encoder(), photos, tmp_path / "cache")
    assert one.folder != other.folder and one.folder.name.startswith("tiny-global-")
    assert np.abs(one[:] - other[:]).max() > 1e-3


def test_arguments_are_checked(encoder, photos, tmp_path):
    with pytest.raises(InputError, match="Unknown on_bad 'drop'; use one of: refuse, skip"):
        image_features(encoder, photos, tmp_path, on_bad="drop")
    with pytest.raises(InputError, match="tiny gives no `map` features; use one of: effici"):
        image_features(encoder, photos, tmp_path, "map")


def test_texts_are_encoded_once(tmp_path, monkeypatch):
    bag = BagOfWords.fit([("a dog",), ("a cat", "the dog")], 10)
    texts = ["a dog", "", "a cat and a dog", "a dog"]
    found = text_features(bag, texts, tmp_path)
    np.testing.assert_array_equal(found[:], bag.encode(texts))
    asked = []
    encode = bag.encode
    monkeypatch.setattr(bag, "encode", lambda some: asked.extend(some) or encode(some))
    text_features(bag, ["a cat", *texts], tmp_path)
    assert asked == ["a cat"]


def test_captions_are_one_text_or_averaged(tmp_path):
    captions = [("a dog", "a cat runs"), ("the cat",), (), ("a cat", "a cat", "the sea")]
    bag = BagOfWords.fit(captions, 20)
    joined = caption_features(bag, captions, tmp_path, "joined")
    np.testing.assert_array_equal(joined[:], bag.encode(["\n".join(each) for each in captions]))
    averaged = caption_features(bag, captions, tmp_path, "averaged")
    for row, each in enumerate(captions):
        vectors = [bag.encode([caption])[0] for caption in each] or [np.zeros(bag.dim)]
        np.testing.assert_allclose(averaged[row], np.mean(vectors, axis=0), atol=1e-6)
    assert np.abs(averaged[0] - joined[0]).max() > 0.01


def test_an_encoder_that_was_moved_finds_its_features(encoder, photos, tmp_path, computed):
    for place in ("here", "there"):
        named = replace(encoder, name=f"keras_hub:{tmp_path / place}")
        image_features(named, photos, tmp_path / "cache")
    assert computed == [6]
