import pytest

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import flickr8k
from tfxmodal.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Ten photos of two captions, four for training; the first line has a space for the tab."""
    names = [f"{number}_ab.jpg" for number in range(10)]
    lines = [f"{name}#{k}\tA dog {name[0]} , {k} ." for name in names for k in range(2)]
    lines[0] = lines[0].replace("\t", " ")
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:4]) + "\n")
    (tmp_path / "images").mkdir()
    for name in names[:9]:
        (tmp_path / "images" / name).touch()
    return tmp_path


def test_captions_and_halves_of_the_rest(folder):
    dataset = load_dataset("flickr8k", folder)
    assert dataset.train.ids.tolist() == ["0_ab", "1_ab", "2_ab", "3_ab"]
    assert dataset.validation.ids.tolist() == ["4_ab", "5_ab"]
    assert dataset.test.ids.tolist() == ["6_ab", "7_ab", "8_ab"]  # The tenth photo is absent.
    assert dataset.train.texts[0] == ("A dog 0 , 0 .", "A dog 0 , 1 .")
    assert dataset.test.images[0] == str(folder / "images" / "6_ab.jpg")
    assert dataset.class_names is None and dataset.train.labels is None


def test_official_lists_and_folder(folder):
    (folder / "images").rename(folder / "Flicker8k_Dataset")
    (folder / "Flickr_8k.devImages.txt").write_text("8_ab.jpg\n9_ab.jpg\n")
    (folder / "Flickr_8k.testImages.txt").write_text("4_ab.jpg\n")
    dataset = flickr8k.load(folder)
    assert dataset.validation.ids.tolist() == ["8_ab"]
    assert dataset.test.ids.tolist() == ["4_ab"]


@pytest.mark.parametrize("given, validation, test", [("dev", "78", "456"), ("test", "456", "78")])
def test_a_list_that_is_given_is_kept(folder, given, validation, test):
    (folder / f"Flickr_8k.{given}Images.txt").write_text("7_ab.jpg\n8_ab.jpg\n")
    dataset = flickr8k.load(folder)
    assert dataset.validation.ids.tolist() == [f"{number}_ab" for number in validation]
    assert dataset.test.ids.tolist() == [f"{number}_ab" for number in test]


def test_a_split_for_which_nothing_is_left(folder):
    rest = "".join(f"{number}_ab.jpg\n" for number in range(4, 10))
    (folder / "Flickr_8k.testImages.txt").write_text(rest)
    with pytest.raises(InputError, match="lacks Flickr_8k.devImages.txt, and its .* leave 0 ph"):
        flickr8k.load(folder)


def test_bad_input(folder):
    (folder / "Flickr_8k.trainImages.txt").rename(folder / "kept")
    with pytest.raises(InputError, match="Cannot read .*trainImages.txt"):
        flickr8k.load(folder)
    (folder / "kept").rename(folder / "Flickr_8k.trainImages.txt")
    for photo in (folder / "images").iterdir():
        photo.unlink()
    with pytest.raises(InputError, match="none of the photos"):
        flickr8k.load(folder)
    with (folder / "Flickr8k.token.txt").open("a") as file:
        file.write("a caption without a photo\n")
    with pytest.raises(InputError, match="Line 21 of .*received 'a caption without a photo'"):
        flickr8k.load(folder)


def test_lines_that_are_blank_and_signs_that_end_no_line(folder):
    path = folder / "Flickr8k.token.txt"
    _, *rest = path.read_text().splitlines()
    odd = "0_ab.jpg#0\tA dog\x85 0\u2028 \x0b\x0c."
    content = "\r\n".join([odd, "", *rest, "", " ", ""])
    path.write_bytes(f"\ufeff{content}".encode())
    dataset = flickr8k.load(folder)
    assert dataset.train.texts[0] == ("A dog\x85 0\u2028 \x0b\x0c.", "A dog 0 , 1 .")
    assert len(dataset.train) == 4 and len(dataset.test) == 3


@pytest.mark.parametrize(
    "write",
    [
        lambda name: name.removesuffix(".jpg"),
        lambda name: f"images/{name}",
        lambda name: f"Images\\{name} ",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_without_suffix_with_folders_and_of_windows(folder, write, end):
    names = [f"{number}_ab.jpg" for number in range(4)]
    content = end.join([*map(write, names), ""])
    (folder / "Flickr_8k.trainImages.txt").write_bytes(f"\ufeff{content}".encode())
    assert flickr8k.load(folder).train.ids.tolist() == ["0_ab", "1_ab", "2_ab", "3_ab"]


def test_names_with_spaces_and_signs(folder):
    name = "my dog #1.jpg"
    (folder / "images" / name).touch()
    with (folder / "Flickr8k.token.txt").open("a") as file:
        file.write(f"{name}#0\tA dog .\n")
    (folder / "Flickr_8k.trainImages.txt").write_text(f"{name}\n")
    assert flickr8k.load(folder).train.texts == [("A dog .",)]


def test_lists_that_do_not_fit(folder):
    dev = folder / "Flickr_8k.devImages.txt"
    dev.write_text("8_ab.jpg\n2_ab\n")
    with pytest.raises(InputError, match="devImages.txt and .*trainImages.txt both name 2_ab.jpg"):
        flickr8k.load(folder)
    dev.write_text("unknown.jpg\n")
    with pytest.raises(InputError, match="devImages.txt names none of the 9 photos"):
        flickr8k.load(folder)


def test_the_real_photos(shared_data):
    dataset = load_dataset("flickr8k", shared_data / "flickr8k")
    assert [len(pairs) for _, pairs in dataset.splits()] == [753, 123, 124]
    assert all(len(captions) == 5 for captions in dataset.train.texts)
    assert dataset.train.texts[0][0].startswith("A child in a pink dress")
