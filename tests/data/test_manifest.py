import csv
import json
import logging
import os
import string
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfxmodal.data import load_dataset, manifest
from tfxmodal.data.rows import read_rows
from tfxmodal.errors import InputError
from tfxmodal.io.reading import require_files

SPLITS = ("train", "validation", "test")

# NumPy strings cannot end in NUL, surrogates are no UTF-8, and CSV readers know one line end.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)
captions = st.lists(texts.filter(str.strip), min_size=1, max_size=3)
names = st.text(string.ascii_letters + string.digits + " é犬", min_size=1).filter(
    lambda name: name == name.strip()
)
words = names.map("class {}".format)
rows = st.lists(
    st.tuples(names, captions, st.lists(words, unique=True, max_size=3), st.sampled_from(SPLITS)),
    min_size=3,
    max_size=8,
    unique_by=lambda row: row[0],
).filter(lambda rows: {row[3] for row in rows} == set(SPLITS))


def write(path, rows):
    """Writes rows of dicts (JSON lines) or of lists (CSV, header first), or a text as it is."""
    if isinstance(rows, str):
        path.write_text(rows, encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    else:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    return tmp_path


def three(**first):
    """One pair a split; `first` overrides the first one's fields."""
    rows = [{"image": f"{i}.jpg", "text": i, "split": s} for i, s in zip("abc", SPLITS)]  # noqa: B905
    rows[0] |= first
    return rows


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=rows, suffix=st.sampled_from(["jsonl", "csv"]))
def test_what_is_written_is_loaded(tmp_path, rows, suffix):
    if suffix == "csv":
        header = ["id", "image", "text", "labels", "split"]
        lines = [
            [name, f"{row}.png", text, ";".join(labels), split]
            for row, (name, texts, labels, split) in enumerate(rows)
            for text in texts
        ]
        path = write(tmp_path / "pairs.csv", [header, *lines])
    else:
        path = write(
            tmp_path / "pairs.jsonl",
            [
                {"id": name, "image": f"{row}.png", "texts": t, "labels": labels, "split": split}
                for row, (name, t, labels, split) in enumerate(rows)
            ],
        )
    for row in range(len(rows)):
        (tmp_path / f"{row}.png").touch()

    dataset = manifest.load(path)

    classes = sorted({name for row in rows for name in row[2]})
    assert dataset.class_names == (tuple(classes) or None)
    for split, pairs in dataset.splits():
        expected = [(row, *fields) for row, fields in enumerate(rows) if fields[3] == split]
        assert pairs.ids.tolist() == [name for _, name, _, _, _ in expected]
        assert pairs.images.tolist() == [str(tmp_path / f"{row}.png") for row, *_ in expected]
        assert pairs.texts == [tuple(texts) for _, _, texts, _, _ in expected]
        if classes:
            found = [{classes[c] for c in np.flatnonzero(row)} for row in pairs.labels]
            assert found == [set(labels) for _, _, _, labels, _ in expected]


def test_defaults_of_a_folder(folder):
    write(folder / "pairs.jsonl", three())
    dataset = load_dataset("pairs", folder)
    assert dataset.train.ids.tolist() == ["a.jpg"]
    assert dataset.train.labels is None and dataset.class_names is None


def test_images_whose_names_are_composed_otherwise_are_found(folder):
    stored, listed = "Cafe\u0301.jpg", "Café.jpg"
    (folder / stored).touch()
    write(folder / "pairs.jsonl", three(image=listed, id="x"))
    loaded = load_dataset("pairs", folder)
    found = [image for _, pairs in loaded.splits() for image in pairs.images]
    assert str(folder / stored) in found


def test_numbers_are_ids(folder):
    write(folder / "pairs.jsonl", three(id=0))
    assert manifest.load(folder).train.ids.tolist() == ["0"]


def test_csv_rows_of_one_image_are_one_pair(folder):
    rows = [
        ["image", "text", "split"],
        ["a.jpg", "one", "train"],
        ["b.jpg", "two", "test"],
        ["c.jpg", "three", "validation"],
        ["./a.jpg", "four", ""],
    ]
    write(folder / "pairs.csv", rows)
    assert manifest.load(folder).train.texts == [("one", "four")]


def test_class_list_gives_the_order(folder):
    (folder / "classes.txt").write_text("dog\ncat\nunseen\n")
    write(folder / "pairs.jsonl", three(labels=["cat"]))
    dataset = manifest.load(folder)
    assert dataset.class_names == ("dog", "cat", "unseen")
    assert dataset.train.labels.tolist() == [[0, 1, 0]]
    assert dataset.test.labels.tolist() == [[0, 0, 0]]


def test_hashed_split_is_80_10_10_and_stays_when_rows_are_added(tmp_path):
    (tmp_path / "images").mkdir()
    rows = [{"image": f"images/{i}.jpg", "text": "x"} for i in range(2000)]
    for row in rows:
        (tmp_path / row["image"]).touch()
    before = manifest.load(write(tmp_path / "few.jsonl", rows[::2]))
    after = manifest.load(write(tmp_path / "all.jsonl", rows))
    for (_, few), (_, many) in zip(before.splits(), after.splits(), strict=True):
        assert set(few.ids) <= set(many.ids)
    sizes = [len(pairs) for _, pairs in after.splits()]
    np.testing.assert_allclose(sizes, [1600, 200, 200], atol=60)


@pytest.mark.parametrize(
    ("suffix", "rows", "message"),
    [
        ("jsonl", [], r"pairs.jsonl is empty"),
        ("csv", [["image", "text"]], r"pairs.csv is empty"),
        ("jsonl", [{"text": "x"}], r"Line 1 of .* has no `image`"),
        ("csv", [["image"], ["a.jpg"]], r"Line 1 of .* has no `text` among its columns"),
        ("csv", "image,text\na.jpg,a dog, a cat\n", r"Line 2 of .* more fields than the header"),
        ("csv", 'image,text\na.jpg,"a dog\n', r"Line 2 of .* is no CSV"),
        ("jsonl", '{"image": "a.jpg", "text": "x"}\n{"image"\n', r"Line 2 of .* is no JSON"),
        ("jsonl", "[1]\n", r"Line 1 of .* is '\[1\]': write a JSON object"),
        ("jsonl", three(text=5), r"Line 1 of .* has `text` 5: give strings"),
        ("jsonl", three(labels="dog, cat"), r"Line 1 of .* has `labels` 'dog, cat': give a list"),
        ("jsonl", three(id="b.jpg"), r"Line 2 of .* repeats the id 'b.jpg' of line 1"),
        ("jsonl", three(image="c.jpg", id="x"), r"Line 3 of .* lists .*c.jpg again after line 1"),
        (
            "csv",
            "id,image,text\n1,a.jpg,x\n2,a.jpg,y\n",
            r"Line 3 of .* again after line 2",
        ),
        ("jsonl", three(split="dev"), r"split 'dev': use one of train, validation, test"),
        ("jsonl", three(split="test"), r"has no train pairs among its 3"),
        ("jsonl", three(text=" "), r"1 of 3 pairs in .* are bad \(line 1 has no text\)"),
        ("jsonl", three(image="no.jpg"), r"1 of 3 .* \(line 1 has no image file at .*no.jpg\)"),
        ("jsonl", three(labels=["bird"]), r"Line 1 of .* label 'bird', which .*classes.txt lacks"),
    ],
)
def test_bad_manifests_are_refused(folder, suffix, rows, message):
    (folder / "classes.txt").write_text("cat\n")
    write(folder / f"pairs.{suffix}", rows)
    with pytest.raises(InputError, match=message):
        manifest.load(folder)


def test_missing_manifest_and_wrong_option(folder):
    with pytest.raises(InputError, match=r"No manifest at .*: give a .jsonl or .csv file"):
        manifest.load(folder)
    with pytest.raises(InputError, match=r"Unknown on_bad_row 'keep'; use one of: refuse, skip"):
        manifest.load(folder, on_bad_row="keep")


def test_other_encodings_are_refused_with_their_line(folder):
    (folder / "pairs.csv").write_bytes("image,text\na.jpg,café\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"Line 2 of .*pairs.csv is not UTF-8"):
        manifest.load(folder)


def test_byte_order_mark_is_read_over(folder):
    rows = "".join(f"{row['image']},{row['text']},{row['split']}\n" for row in three())
    (folder / "pairs.csv").write_text("image,text,split\n" + rows, encoding="utf-8-sig")
    assert len(manifest.load(folder).train) == 1


def test_bad_pairs_are_skipped_and_counted_on_request(folder, caplog):
    bad = [{"image": f"no{i}.jpg", "text": "x", "split": "train"} for i in range(5)]
    write(folder / "pairs.jsonl", [*three(), *bad])
    with pytest.raises(InputError, match=r"5 of 8 pairs .*line 4 .*line 5 .*line 6 .*no2.jpg\)"):
        manifest.load(folder)
    with caplog.at_level(logging.WARNING):
        dataset = manifest.load(folder, on_bad_row="skip")
    assert [len(pairs) for _, pairs in dataset.splits()] == [1, 1, 1]
    assert "5 of 8 pairs" in caplog.text and "skipped" in caplog.text


def test_rows_of_split_query_ask_in_the_test_split(folder):
    (folder / "d.jpg").touch()
    rows = [row | {"labels": ["dog"]} for row in three()]
    rows.append({"image": "d.jpg", "text": "d", "split": "query", "labels": ["dog"]})
    dataset = load_dataset("pairs", write(folder / "pairs.jsonl", rows))
    assert dataset.test.ids.tolist() == ["c.jpg", "d.jpg"]
    assert dataset.test.queries.tolist() == [False, True]
    assert dataset.train.queries is None and dataset.validation.queries is None
    write(folder / "pairs.jsonl", [row | {"labels": []} for row in rows])
    with pytest.raises(InputError, match="`queries` must be bool .* without labels"):
        load_dataset("pairs", folder)
    rows[2]["split"] = "query"
    write(folder / "pairs.jsonl", rows)
    with pytest.raises(InputError, match="received 2 queries among 2 pairs"):
        load_dataset("pairs", folder)


def test_names_composed_otherwise_are_found_by_one_listing_a_folder(tmp_path, monkeypatch):
    folder = tmp_path / unicodedata.normalize("NFD", "Bäume")
    folder.mkdir()
    names = [unicodedata.normalize("NFD", f"é{number}.jpg") for number in range(30)]
    for name in names:
        (folder / name).touch()
    given = [
        {"image": unicodedata.normalize("NFC", f"Bäume/{name}"), "text": "x", "split": split}
        for name, split in zip(names, SPLITS * 10, strict=True)
    ]
    path, listed, listdir = write(tmp_path / "m.jsonl", given), [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda place: listed.append(str(place)) or listdir(place))
    assert [row.image for row in read_rows(path)] == [str(folder / name) for name in names]
    assert len(listed) == len(set(listed))
    listed.clear()
    wanted = [each["image"] for each in given]
    with pytest.raises(InputError, match="lacks 30 images .*30 of them"):
        require_files("images", tmp_path, wanted, "get them")
    assert len(listed) <= 4
