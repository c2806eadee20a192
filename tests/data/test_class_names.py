import json

import pytest

from tfxmodal.data import load_dataset
from tfxmodal.errors import InputError


def load(folder, labels, suffix=".csv"):
    """A dataset of pairs with these labels; the last three are one for each split."""
    splits = ["train"] * (len(labels) - 2) + ["validation", "test"]
    lines = ["image,text,split,labels"] if suffix == ".csv" else []
    for row, (names, split) in enumerate(zip(labels, splits, strict=True)):
        (folder / f"{row}.jpg").touch()
        fields = {"image": f"{row}.jpg", "text": "a", "split": split, "labels": names}
        lines.append(f'{row}.jpg,a,{split},"{names}"' if suffix == ".csv" else json.dumps(fields))
    path = folder / f"pairs{suffix}"
    path.write_text("\n".join(lines))
    return load_dataset("pairs", path)


@pytest.mark.parametrize("none", ["-1", "-1.0", "nan", ""])
@pytest.mark.parametrize("known", ["3", "dog"])
def test_minus_one_and_nan_are_no_label(tmp_path, caplog, none, known):
    dataset = load(tmp_path, [known, none, none, known, known])
    assert dataset.class_names == (known,)
    assert dataset.train.labels.tolist() == [[1], [0], [0]]
    if none:
        assert f"have the label {none}, which is taken for none" in caplog.text


def test_numbers_of_json(tmp_path):
    dataset = load(tmp_path, [[3], [-1], [float("nan")], [4], [3]], ".jsonl")
    assert dataset.class_names == ("3", "4")
    assert dataset.train.labels.tolist() == [[1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("wrong", ["-2", "0.5", "inf"])
def test_other_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=f"Line 4 of .* has the label {wrong}: number classes"):
        load(tmp_path, ["1", "2", wrong, "1", "1"])


def test_words_may_hold_signs(tmp_path):
    assert load(tmp_path, ["-2", "dog", "0.5"]).class_names == ("-2", "0.5", "dog")


@pytest.mark.parametrize("wrong", ["red, wall", "red|wall", "['red']", "[1 2]"])
def test_labels_that_look_like_several_are_refused_unless_listed(tmp_path, wrong):
    with pytest.raises(InputError, match="Line 2 of .* looks like several: separate them by `;`"):
        load(tmp_path, [wrong, "red;wall", "red"])
    (tmp_path / "classes.txt").write_text(f"red\nwall\n{wrong}\n")
    assert load(tmp_path, [wrong, "red;wall", "red"]).train.labels.tolist() == [[0, 0, 1]]


def test_a_list_of_json_is_taken_as_it_is(tmp_path):
    dataset = load(tmp_path, [["red, wall"], ["red "], [""]], ".jsonl")
    assert dataset.class_names == ("red", "red, wall")
    assert not dataset.test.labels.any()


def test_labels_that_differ_in_case_are_told(tmp_path, caplog):
    assert load(tmp_path, ["dog", "Dog", "cat"]).class_names == ("Dog", "cat", "dog")
    assert "'Dog' and 'dog' in" in caplog.text and "are two classes" in caplog.text
