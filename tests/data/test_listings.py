import pytest

from tfxmodal.data.listings import pictures_in, texts_in
from tfxmodal.errors import InputError


def test_pictures_are_found_in_folders_within(tmp_path):
    for name in ("b.JPG", "a/c.png", "a/notes.txt", "d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    ids, paths = pictures_in(tmp_path)
    assert ids == ["a/c.png", "b.JPG", "d.webp"]
    assert paths == [str(tmp_path / name) for name in ids]
    with pytest.raises(InputError, match="no folder with pictures: give one with any of .bmp"):
        pictures_in(tmp_path / "none")


def test_texts_have_ids_or_are_their_own(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("one\ta dog\twith a tab\n\n  \ntwo cups\n")
    assert texts_in(path) == (["one", "two cups"], ["a dog\twith a tab", "two cups"])
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no text: write one a line"):
        texts_in(path)


def test_only_line_feeds_end_texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("one\tA\x85dog\u2028runs\x0b.\r\n\r\nA\x0ccat\r\n".encode())
    expected = ["one", "A\x0ccat"], ["A\x85dog\u2028runs\x0b.", "A\x0ccat"]
    assert texts_in(path) == expected
