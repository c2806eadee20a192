import numpy as np
import pytest

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import nus_wide_10k
from tfxmodal.errors import InputError

PHOTOS = 400  # Of 40 a class some have another class or no tags.
PER_CLASS = (16, 2, 2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The official layout in small: a twentieth of each split."""
    monkeypatch.setattr(nus_wide_10k, "PER_CLASS", PER_CLASS)
    for name in ("ImageList", "NUS_WID_Tags", "Groundtruth/AllLabels"):
        (tmp_path / name).mkdir(parents=True)
    labels = np.eye(10, dtype=int)[np.arange(PHOTOS) % 10]
    labels[:100, 6] = 1  # Also sky.
    names = [f"folder{n % 3}\\{n:04d}_{9000 + n}.jpg" for n in range(PHOTOS)]
    tags = [f"{9000 + n}      tag{n} café" for n in range(PHOTOS)]
    tags[100:130] = [f"{9000 + n}" for n in range(100, 130)]
    (tmp_path / "ImageList" / "Imagelist.txt").write_text("\r\n".join(names) + "\r\n")
    (tmp_path / "NUS_WID_Tags" / "All_Tags.txt").write_text("\n".join(tags) + "\n")
    for name, column in zip(nus_wide_10k.CLASSES, labels.T, strict=True):
        path = tmp_path / "Groundtruth" / "AllLabels" / f"Labels_{name}.txt"
        path.write_text("".join(f"{value}\n" for value in column))
    for name in names:
        path = tmp_path / "Flickr" / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def number(identifier: str) -> int:
    return int(identifier[-4:]) - 9000


def test_evenly_drawn_from_photos_with_tags_and_one_class(folder):
    dataset = load_dataset("nus_wide_10k", folder)
    assert dataset.class_names == nus_wide_10k.CLASSES
    for (_, pairs), count in zip(dataset.splits(), PER_CLASS, strict=True):
        np.testing.assert_array_equal(pairs.labels.sum(0), [count] * 10)
        assert (pairs.labels.sum(1) == 1).all()
        numbers = np.array([number(identifier) for identifier in pairs.ids])
        np.testing.assert_array_equal(pairs.labels.argmax(1), numbers % 10)
        # The first 100 have two classes, but for sky itself; the next 30 have no tags.
        assert ((numbers >= 130) | ((numbers < 100) & (numbers % 10 == 6))).all()
        row = pairs.ids[0]
        assert pairs.texts[0] == (f"tag{number(row)} café",)
        assert pairs.images[0] == str(folder / "Flickr" / f"{row}.jpg")
    ids = [identifier for _, pairs in dataset.splits() for identifier in pairs.ids]
    assert len(set(ids)) == 200


def test_the_draw_is_repeatable(folder):
    one, two = (nus_wide_10k.load(folder) for _ in range(2))
    for (_, a), (_, b) in zip(one.splits(), two.splits(), strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)


def test_the_authors_lists_are_taken_where_given(folder):
    photos = {"train": (3, 5), "validation": (110,), "test": (7,)}
    for split, numbers in photos.items():
        lines = [f"folder{n % 3}\\{n:04d}_{9000 + n}.jpg toy\n" for n in numbers]
        (folder / f"{split}.list").write_text("".join(lines))
    dataset = nus_wide_10k.load(folder)
    for split, pairs in dataset.splits():
        assert tuple(map(number, pairs.ids)) == photos[split]
        assert (pairs.labels.argmax(1) == 7).all()
    (folder / "test.list").write_text("folder0\\0000_9999.jpg toy\n")
    with pytest.raises(InputError, match="Line 1 of .*test.list must be a photo of Imagelist.txt"):
        nus_wide_10k.load(folder)
    (folder / "test.list").write_text("folder0/0000_9000.jpg sea\n")
    with pytest.raises(InputError, match="Unknown class in line 1 of .* 'sea'; use one of: animal"):
        nus_wide_10k.load(folder)
    (folder / "test.list").unlink()
    with pytest.raises(InputError, match="Cannot read .*test.list"):
        nus_wide_10k.load(folder)


def test_missing_files(folder, tmp_path_factory):
    with pytest.raises(InputError, match="Cannot read .*Imagelist.txt"):
        nus_wide_10k.load(tmp_path_factory.mktemp("empty"))
    photo = nus_wide_10k.load(folder).test.images[0]
    (folder / photo).unlink()
    with pytest.raises(InputError, match="Flickr lacks 1 photos .*: ask NUS"):
        nus_wide_10k.load(folder)
    (folder / "Groundtruth" / "AllLabels" / "Labels_toy.txt").unlink()
    with pytest.raises(InputError, match="Cannot read .*Labels_toy.txt"):
        nus_wide_10k.load(folder)


def test_labels_that_do_not_fit(folder):
    path = folder / "Groundtruth" / "AllLabels" / "Labels_toy.txt"
    whole = path.read_text()
    path.write_text(whole[:-2])
    with pytest.raises(InputError, match="Labels_toy.txt has 399 lines and Imagelist.txt 400"):
        nus_wide_10k.load(folder)
    path.write_text("-1130179\n" + whole[2:])
    with pytest.raises(InputError, match="must hold 0 or 1 a line; received '-1130179'"):
        nus_wide_10k.load(folder)
    path.write_text("0\n" * PHOTOS)
    with pytest.raises(InputError, match="has 0 photos .* class toy alone instead of at least 20"):
        nus_wide_10k.load(folder)


def test_tags_that_do_not_fit(folder):
    path = folder / "NUS_WID_Tags" / "All_Tags.txt"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([b"9000 caf\xe9 a\x85b", *lines[1:]]))  # Not UTF-8, yet read.
    nus_wide_10k.load(folder)
    path.write_bytes(b"\n".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(InputError, match="Line 1 of .*is of photo '9001', .*0000_9000.jpg"):
        nus_wide_10k.load(folder)
    path.write_bytes(b"\n".join(lines[:-1]))
    with pytest.raises(InputError, match="All_Tags.txt has 399 lines and Imagelist.txt 400"):
        nus_wide_10k.load(folder)
    path.write_bytes(b"\n".join([b"", *lines[1:]]))
    with pytest.raises(InputError, match="All_Tags.txt has 399 lines and Imagelist.txt 400"):
        nus_wide_10k.load(folder)
