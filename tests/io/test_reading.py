import json

import pytest

from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_json, read_text, require_files


def test_json_keeps_only_the_members_asked_for(tmp_path):
    path = tmp_path / "a.json"
    content = {"items": [{"id": 1, "outline": [1, 2], "size": {"w": 3}}], "info": {}}
    path.write_text(json.dumps(content))
    assert read_json(path) == content
    assert read_json(path, keep=("items", "id")) == {"items": [{"id": 1}]}


def test_text_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffcafé".encode())
    assert read_text(tmp_path / "a.txt") == "café"


def test_text_that_is_not_there(tmp_path):
    told = r"Cannot read .*a.txt \(No such file or directory\): correct its path, or that of its f"
    with pytest.raises(InputError, match=told):
        read_text(tmp_path / "a.txt")


def test_text_with_stray_bytes(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(tmp_path / "a.txt")
    assert read_text(tmp_path / "a.txt", errors="replace") == "caf\ufffd au lait"


def test_files_that_must_be_there(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a", "b/a"):
        (tmp_path / name).touch()
    require_files("things", tmp_path, ["a", "b/a"], "make them")
    with pytest.raises(InputError, match=r"lacks 2 things \(b/c, d/a\): make them"):
        require_files("things", tmp_path, ["b/c", "a", "d/a"], "make them")


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}}'])
def test_damaged_json(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="a.json is not whole JSON"):
        read_json(tmp_path / "a.json")
