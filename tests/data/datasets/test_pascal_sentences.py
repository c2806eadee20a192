import json
from collections import Counter

import pytest

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import pascal_sentences
from tfxmodal.errors import InputError


def write(folder, counts: dict[str, int], absent=()):
    (folder / "images").mkdir(exist_ok=True)
    table = {}
    for category, count in counts.items():
        for number in range(count):
            name = f"2008_{category}{number:02d}.jpg"
            table[name] = {"category": category, "captions": [f" a {category} {number}", ""]}
            if name not in absent:
                (folder / "images" / name).touch()
    (folder / "pascal_sentences.json").write_text(json.dumps(table))


def class_counts(dataset):
    return {
        split: Counter(dataset.class_names[label] for label in pairs.labels.argmax(1))
        for split, pairs in dataset.splits()
    }


def test_forty_five_five_of_fifty(tmp_path):
    write(tmp_path, {"dog": 50, "cat": 50})
    dataset = load_dataset("pascal_sentences", tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert class_counts(dataset) == {
        "train": {"cat": 40, "dog": 40},
        "validation": {"cat": 5, "dog": 5},
        "test": {"cat": 5, "dog": 5},
    }
    assert dataset.test.ids[0] == "2008_dog45"
    assert dataset.validation.texts[0] == ("a dog 40",)
    assert dataset.test.images[0].endswith("images/2008_dog45.jpg")
    ids = [identifier for _, pairs in dataset.splits() for identifier in pairs.ids]
    assert len(set(ids)) == 100


def test_absent_photos_are_left_out_and_few_keep_the_proportion(tmp_path):
    absent = [f"2008_cat{number:02d}.jpg" for number in range(30)] + ["2008_cow00.jpg"]
    write(tmp_path, {"cat": 50, "cow": 1, "dog": 4}, absent)
    dataset = pascal_sentences.load(tmp_path)
    assert dataset.class_names == ("cat", "cow", "dog")
    assert class_counts(dataset) == {
        "train": {"cat": 16, "dog": 4},
        "validation": {"cat": 2},
        "test": {"cat": 2},
    }


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="Cannot read .*pascal_sentences.json"):
        pascal_sentences.load(tmp_path)
    write(tmp_path, {"cat": 1}, absent=["2008_cat00.jpg"])
    with pytest.raises(InputError, match="none of the photos"):
        pascal_sentences.load(tmp_path)
    for content in ('["a.jpg"]', '{"a.jpg": {"category": "cat"}}', '{"a.jpg": 3}'):
        (tmp_path / "pascal_sentences.json").write_text(content)
        with pytest.raises(InputError, match="must map each photo to its category and captions"):
            pascal_sentences.load(tmp_path)


def test_the_real_photos(shared_data):
    dataset = load_dataset("pascal_sentences", shared_data / "pascal_sentences")
    counts = class_counts(dataset)
    assert sum(len(pairs) for _, pairs in dataset.splits()) == 282
    assert len(dataset.class_names) == 20
    for category in ("cat", "cow", "dog", "horse", "sheep"):
        assert [counts[split][category] for split in counts] == [40, 5, 5]
