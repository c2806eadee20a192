import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxmodal.data.items import read_items, text_ids
from tfxmodal.errors import InputError


@given(st.lists(st.tuples(st.text(), st.lists(st.text(), max_size=3)), max_size=5))
def test_a_single_text_has_its_pairs_id_and_several_are_numbered(pairs):
    expected = []
    for name, texts in pairs:
        expected += [name] if len(texts) == 1 else [f"{name}#{i}" for i, _ in enumerate(texts)]
    assert text_ids([name for name, _ in pairs], [texts for _, texts in pairs]) == expected


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"id": "dog", "image": "a.jpg", "texts": ["A dog.", "It runs."]},
        {"image": "b.jpg", "text": "A cat."},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_items_of_a_manifest(manifest):
    images = read_items(manifest)
    assert images.kind == "images" and images.ids == ["dog", "b.jpg"]
    assert images.values == [str(manifest.with_name(name)) for name in ("a.jpg", "b.jpg")]
    texts = read_items(manifest, "texts")
    assert texts.ids == ["dog#0", "dog#1", "b.jpg"] and len(texts) == 3
    assert texts.values == ["A dog.", "It runs.", "A cat."]


def test_items_of_a_folder_and_of_a_file(tmp_path):
    (tmp_path / "photo.jpg").touch()
    file = tmp_path / "texts.txt"
    file.write_text("one\tA dog.\nA cat.\n")
    folder = read_items(str(tmp_path))
    assert (folder.kind, folder.ids) == ("images", ["photo.jpg"])
    texts = read_items(file)
    assert (texts.kind, texts.ids, texts.values) == (
        "texts",
        ["one", "A cat."],
        ["A dog.", "A cat."],
    )
    with pytest.raises(InputError, match="holds images; received `kind` texts"):
        read_items(tmp_path, "texts")
    with pytest.raises(InputError, match="holds texts; received `kind` images"):
        read_items(file, "images")
    with pytest.raises(InputError, match="Unknown kind 'sounds'"):
        read_items(file, "sounds")


def test_what_cannot_be_read(tmp_path, manifest):
    for name in ("gone.jsonl", "gone.txt"):
        with pytest.raises(InputError, match=f"Cannot read .*{name}"):
            read_items(tmp_path / name)
    file = tmp_path / "texts.txt"
    file.write_text("one\tA dog.\none\tA cat.\n")
    with pytest.raises(InputError, match="names 'one' 2 times"):
        read_items(file)
    manifest.write_text(json.dumps({"image": "a.jpg", "texts": []}))
    with pytest.raises(InputError, match="holds no texts"):
        read_items(manifest, "texts")
