import os
from pathlib import Path

import pytest
from PIL import Image

from tfxmodal.data.listings import pictures_in, texts_in
from tfxmodal.errors import InputError
from tfxmodal.io.reporter import Reporter


def test_pictures_are_found_in_folders_within(tmp_path):
    for name in ("b.JPG", "a/c.png", "a/notes.txt", "d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    ids, paths = pictures_in(tmp_path)
    assert ids == ["a/c.png", "b.JPG", "d.webp"]
    assert paths == [str(tmp_path / name) for name in ids]
    with pytest.raises(InputError, match="no folder with pictures: give one with any of .apng"):
        pictures_in(tmp_path / "none")


class Told(Reporter):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def save(path, kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, kind)


def test_pictures_are_known_by_their_bytes(tmp_path):
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF"):
        save(tmp_path / kind, kind)
        save(tmp_path / f"{kind}.7fa3", kind)
    save(tmp_path / "photo.jpe", "JPEG")
    save(tmp_path / "photo.jfif", "JPEG")
    save(tmp_path / "camera.nef", "TIFF")
    (tmp_path / "BM").write_text("BM is a company.")
    assert len(pictures_in(tmp_path)[0]) == 14
    assert not {"BM", "camera.nef"} & set(pictures_in(tmp_path)[0])


def test_what_is_passed_over_is_told(tmp_path):
    for name in ("a.txt", "b.TXT", "c.psd", "README", ".hidden.png", ".git/x.png"):
        save(tmp_path / name)
        (tmp_path / name).write_text("x")
    told = Told()
    with pytest.raises(InputError, match="it holds 2 .txt, 2 hidden, 1 .psd, 1 without suffix.: "):
        pictures_in(tmp_path, told)
    save(tmp_path / "in" / "a.png")
    assert pictures_in(tmp_path, told)[0] == ["in/a.png"]
    assert told.lines == [
        f"{tmp_path}: 1 pictures; passed over: 2 .txt, 2 hidden, 1 .psd, 1 without suffix"
    ]
    pictures_in(tmp_path / "in", told)
    assert len(told.lines) == 1


def test_linked_folders_are_followed_once(tmp_path):
    save(tmp_path / "elsewhere" / "far" / "x.png")
    album = tmp_path / "album"
    save(album / "z" / "a.png")
    (album / "first").symlink_to(album / "z")  # the folder itself comes before a link to it
    (album / "z" / "up").symlink_to(album)
    (album / "link").symlink_to(tmp_path / "elsewhere")
    (album / "once_more").symlink_to(tmp_path / "elsewhere")
    (album / "gone").symlink_to(tmp_path / "nowhere")
    (album / "picture").symlink_to(album / "z" / "a.png")
    assert pictures_in(album)[0] == ["link/far/x.png", "picture", "z/a.png"]
    (tmp_path / "top").symlink_to(album)
    assert len(pictures_in(tmp_path / "top")[0]) == 3


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refused(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match="Cannot read the folder .*closed .Permission denied"):
        pictures_in(tmp_path)


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


@pytest.mark.parametrize(
    ("line", "lacks"), [("img_2\t", "text after"), ("img_2\t ", "text after"), ("\ta", "id before")]
)
def test_an_id_or_a_text_alone_is_refused(tmp_path, line, lacks):
    path = tmp_path / "texts.txt"
    path.write_text(f"img_1\ta dog\n\n{line}\n")
    with pytest.raises(InputError, match=f"^Line 3 of .* has no {lacks} its tab: write ID<TAB>"):
        texts_in(path)
