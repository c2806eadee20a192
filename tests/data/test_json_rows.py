import json

import pytest

from tfxmodal.data import load_dataset, manifest
from tfxmodal.data.rows import read_rows
from tfxmodal.errors import InputError


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def karpathy(name: str, split: str, **fields) -> dict:
    sentences = [{"raw": f"A dog {n} .", "tokens": ["a", "dog"]} for n in range(2)]
    return {"filename": f"{name}.jpg", "split": split, "sentences": sentences, "imgid": 0} | fields


def test_karpathys_file(tmp_path):
    images = [
        karpathy("a", "train", filepath="val2014"),
        karpathy("b", "restval"),
        karpathy("c", "val"),
        karpathy("d", "test"),
    ]
    for name in ("val2014/a", "b", "c", "d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").touch()
    path = write(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    dataset = load_dataset("pairs", path)
    assert dataset.train.ids.tolist() == ["val2014/a.jpg", "b.jpg"]
    assert dataset.train.texts[0] == ("A dog 0 .", "A dog 1 .")
    assert dataset.validation.ids.tolist() == ["c.jpg"]
    assert dataset.test.images.tolist() == [str(tmp_path / "d.jpg")]


def test_a_list_of_objects(tmp_path):
    path = write(tmp_path / "pairs.json", [{"image": "a.jpg", "caption": ["one", "two"]}])
    assert [row.texts for row in read_rows(path)] == [["one", "two"]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"images": [], "annotations": []}, "is in COCO's layout: .*`dataset` coco"),
        ({"data": []}, "must be a list of objects.*received 'data'"),
        (5, "must be a list of objects.*received int"),
        ([5], "Entry 1 of .* is '5': write a JSON object"),
        ({"images": [{"filename": "a.jpg"}]}, "Entry 1 of .* is not in Karpathy's layout"),
        ({"images": [karpathy("a", "dev")]}, "Entry 1 of .* has split 'dev'"),
        ([{"url": "a", "title": "b"}], r"Entry 1 of .* no `image` among its keys \('url', 'title'"),
        ([{"file": "a", "img": "b", "text": "c"}], "'file' and 'img', which may both be `image`"),
    ],
)
def test_other_json_is_refused_with_what_is_there(tmp_path, content, told):
    with pytest.raises(InputError, match=told):
        read_rows(write(tmp_path / "pairs.json", content))


def test_json_cut_short(tmp_path):
    (tmp_path / "pairs.json").write_text('[{"image": ')
    with pytest.raises(InputError, match="is not whole JSON"):
        read_rows(tmp_path / "pairs.json")


def test_keys_that_look_like_known_ones(tmp_path, caplog):
    (tmp_path / "a.jpg").touch()
    rows = [{"Image": "a.jpg", "text": "one", "texts": ["two"], "label": "dog", "owner": "me"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = read_rows(path)
    assert row.texts == ["one", "two"] and row.labels == ["dog"]
    assert row.image == str(tmp_path / "a.jpg")
    for told in ("'Image' is read as `image`", "'label' is read as `labels`", "'owner' is met"):
        assert told in caplog.text


def test_a_line_ends_at_a_line_feed_alone(tmp_path):
    (tmp_path / "a.jpg").touch()
    text = "one\x85two\u2028three\x0b\x0cfour"
    row = json.dumps({"image": "a.jpg", "text": text}, ensure_ascii=False)
    (tmp_path / "pairs.jsonl").write_bytes(f"\ufeff{row}\r\n\r\n".encode())
    assert manifest.load_pairs(tmp_path)[0].texts == [(text,)]


@pytest.mark.parametrize("suffix", ["ndjson", "jsonlines", "JSONL"])
def test_json_lines_by_other_names(tmp_path, suffix):
    (tmp_path / "a.jpg").touch()
    path = tmp_path / f"mine.{suffix}"
    path.write_text('{"image": "a.jpg", "text": "a; b", "labels": ["x"]}\n')
    (row,) = read_rows(path)
    assert row.texts == ["a; b"] and row.labels == ["x"]


def test_a_name_that_is_no_utf8_is_told_as_missing_or_read(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"image": "caf\\udce9.jpg", "text": "a"}\n')
    with pytest.raises(InputError, match="line 1 has no image file at .*jpg"):
        manifest.load_pairs(path)
    (tmp_path / "caf\udce9.jpg").touch()
    (name,) = manifest.load_pairs(path)[0].images
    assert name == str(tmp_path / "caf\udce9.jpg")
