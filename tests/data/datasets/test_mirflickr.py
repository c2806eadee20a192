import pytest

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import mirflickr
from tfxmodal.errors import InputError

PHOTOS = 60


@pytest.fixture
def folder(tmp_path):
    """The official layout in small: of 60 photos 50 have a label and a common tag."""
    photos, annotations = tmp_path / "mirflickr", tmp_path / "mirflickr25k_annotations_v080"
    for path in (photos / "doc", photos / "meta" / "tags", annotations):
        path.mkdir(parents=True)
    (photos / "doc" / "common_tags.txt").write_text("explore 1483\nsky 845\n2007 30\n\n")
    for number in range(1, PHOTOS + 1):
        (photos / f"im{number}.jpg").touch()
        tags = "rare\n" if number > 55 else "Explore\nsky\nrare\n2007\n845\n"
        (photos / "meta" / "tags" / f"tags{number}.txt").write_text(tags)
    members = {"clouds": range(6, 61), "sky": range(6, 31), "water": [7]}
    for name in mirflickr.CLASSES:
        lines = "".join(f"{number}\n" for number in members.get(name, ()))
        (annotations / f"{name}.txt").write_text(lines)
    (annotations / "sky_r1.txt").write_text("1\n")
    (annotations / "README.txt").write_text("About the labels\n")
    return tmp_path


def test_pairs_with_labels_and_common_tags(folder):
    dataset = load_dataset("mirflickr", folder)
    assert [len(pairs) for _, pairs in dataset.splits()] == [40, 5, 5]
    assert len(dataset.class_names) == 24
    seen = {}
    for _, pairs in dataset.splits():
        assert set(pairs.texts) == {("sky 2007",)}
        for identifier, path, labels in zip(pairs.ids, pairs.images, pairs.labels, strict=True):
            assert path == str(folder / "mirflickr" / f"{identifier}.jpg")
            columns = labels.nonzero()[0]
            seen[int(identifier[2:])] = [dataset.class_names[column] for column in columns]
    assert sorted(seen) == list(range(6, 56))
    assert seen[7] == ["clouds", "sky", "water"]
    assert seen[30] == ["clouds", "sky"] and seen[31] == ["clouds"]


def test_the_split_is_random_and_repeatable(folder, monkeypatch):
    one, two = (mirflickr.load(folder) for _ in range(2))
    assert one.test.ids.tolist() == two.test.ids.tolist()
    numbers = [int(identifier[2:]) for identifier in one.test.ids]
    assert numbers == sorted(numbers) and numbers[-1] - numbers[0] > 10
    monkeypatch.setattr(mirflickr, "HELD_OUT", 2)
    assert [len(pairs) for _, pairs in mirflickr.load(folder).splits()] == [46, 2, 2]


def test_missing_files(folder, tmp_path_factory):
    with pytest.raises(InputError, match="Cannot read .*animals.txt"):
        mirflickr.load(tmp_path_factory.mktemp("empty"))
    (folder / "mirflickr" / "im8.jpg").unlink()
    with pytest.raises(InputError, match=r"lacks 1 photos \(im8.jpg\): unpack mirflickr25k.zip"):
        mirflickr.load(folder)
    (folder / "mirflickr" / "meta" / "tags" / "tags9.txt").unlink()
    with pytest.raises(InputError, match=r"lacks 1 tags of photos \(tags9.txt\)"):
        mirflickr.load(folder)
    (folder / "mirflickr" / "doc" / "common_tags.txt").unlink()
    with pytest.raises(InputError, match="Cannot read .*common_tags.txt"):
        mirflickr.load(folder)


def test_damaged_files(folder):
    tags = folder / "mirflickr" / "meta" / "tags" / "tags6.txt"
    tags.write_bytes(b"sky\ncaf\xe9\n2007\n")
    mirflickr.load(folder)
    (folder / "mirflickr" / "doc" / "common_tags.txt").write_text("sunset 100\n")
    with pytest.raises(InputError, match="has both a label and a tag of common_tags.txt"):
        mirflickr.load(folder)
    (folder / "mirflickr25k_annotations_v080" / "dog.txt").write_text("im6.jpg\n")
    with pytest.raises(InputError, match="dog.txt must hold the number .* received 'im6.jpg'"):
        mirflickr.load(folder)
