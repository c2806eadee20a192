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


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_whole_number_is_one_class_however_it_is_written(tmp_path, suffix):
    """A table of pandas with an empty place holds fractions; another one does not."""
    labels = ["3", "3.0", "10", "10.0", "3e0"] if suffix == ".csv" else [[3], [3.0], [10], [10.0]]
    dataset = load(tmp_path, labels, suffix)
    assert dataset.class_names == ("10", "3")
    assert dataset.train.labels.tolist()[:2] == [[0, 1], [0, 1]]
    assert dataset.validation.labels.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("labels", "classes", "names"),
    [
        (["001", "010", "9.0"], None, ("001", "010", "9")),  # The order of codes stays.
        (
            ["9007199254740993.0", "9007199254740992", "1"],
            None,
            ("1", "9007199254740992", "9007199254740993"),
        ),
        (["3.0", "4", "dog"], None, ("3.0", "4", "dog")),
        (["3.0", "4", "4"], "4\n3\n", ("4", "3")),
        (["3.0", "4", "4"], "4\n3.0\n", ("4", "3.0")),
        (["3.0", "3", "3"], "3\n3.0\n", ("3", "3.0")),
    ],
)
def test_names_that_are_no_numbers_or_listed_stay_as_they_are(tmp_path, labels, classes, names):
    if classes:
        (tmp_path / "classes.txt").write_text(classes)
    assert load(tmp_path, labels).class_names == names


def test_a_number_that_is_not_listed_is_named_as_it_is_written(tmp_path):
    (tmp_path / "classes.txt").write_text("4\n")
    with pytest.raises(InputError, match=r"has the label '3\.0', which .*classes.txt lacks"):
        load(tmp_path, ["3.0", "4", "4"])


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
