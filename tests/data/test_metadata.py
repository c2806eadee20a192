"""Metadata: the other columns of a manifest, with the type that all their values have."""

import json

import pytest

from tfxmodal.data.columns import Columns
from tfxmodal.data.manifest import load_pairs


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl"])
def test_columns_hold_numbers_booleans_or_texts(name, tmp_path, caplog):
    columns = {
        "year": ["2020", "", "-1.5e3"],
        "public": ["True", "false", ""],
        "album": ["beach", "", "7"],
        "code": ["007", "1", "2"],
        "size": ["12", "nan", "3"],
        "largest": ["999999999999999", "-1", "2"],
        "account": ["9007199254740993", "9007199254740992", "1"],  # One number as floats.
        "empty": ["", "", ""],
        "Photo date!": ["1", "2", "3"],
    }
    expected = {
        "year": [2020, None, -1500],
        "public": [True, False, None],
        "album": ["beach", None, "7"],
        "code": ["007", "1", "2"],
        "size": ["12", "nan", "3"],
        "largest": [999999999999999, -1, 2],
        "account": ["9007199254740993", "9007199254740992", "1"],
        "empty": [None, None, None],
        "Photo_date": [1, 2, 3],
    }
    for row in range(3):
        (tmp_path / f"{row}.jpg").touch()
    rows = [{"image": f"{row}.jpg", "text": f"text {row}"} for row in range(3)]
    if name.endswith(".csv"):
        lines = [",".join(["image", "text", *columns])]
        for row, each in enumerate(rows):
            lines.append(",".join([*each.values(), *(values[row] for values in columns.values())]))
        # A further text of an image: the metadata are those of its first row.
        lines.append("0.jpg,another text,1999")
    else:
        keys = [key if key in expected else "Photo date!" for key in expected]
        for key, values in zip(keys, expected.values(), strict=True):
            for row, value in zip(rows, values, strict=True):
                row |= {} if value is None else {key: value}
        rows[1]["tags"] = ["a", "b"]
        lines = map(json.dumps, rows)
        expected.pop("empty")
    (tmp_path / name).write_text("\n".join(lines))
    pairs, metadata = load_pairs(tmp_path / name)
    assert pairs.ids.tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert metadata == expected
    assert name.endswith(".csv") or "metadata column tags is left out: it holds ['a'" in caplog.text


def test_names_become_those_of_columns_each_its_own():
    columns = Columns(["image", "text", "a b", "a-b", "2nd", "größe", "?"])
    assert columns.metadata(["i", "t", 1, 2, 3, 4, 5]) == {
        "a_b": 1,
        "a_b_4": 2,
        "column_2nd": 3,
        "größe": 4,
        "column_7": 5,
    }
    assert columns.metadata(["i", "t", 1]) == {"a_b": 1}
