import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxmodal.data.pairs import Pairs
from tfxmodal.inputs.duplicates import shared, tell_duplicates, text_key
from tfxmodal.io.reporter import Reporter


class Said(Reporter):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def told(tmp_path):
    """`told(split=pairs, ...)`: what is said of the splits."""

    def of(**splits) -> list[str]:
        said = Said()
        tell_duplicates(splits, tmp_path / "cache", said)
        return said.lines

    return of


def features(n, seed=0, name="row") -> Pairs:
    images, texts = np.random.default_rng(seed).standard_normal((2, n, 4)).astype(np.float32)
    return Pairs(np.array([f"{name}/{row}" for row in range(n)]), images, texts)


@given(st.lists(st.tuples(st.binary(max_size=1), st.integers(0, 3)), max_size=20))
def test_rows_shared_with_another_owner(items):
    keys, owners = [key for key, _ in items], [owner for _, owner in items]
    expected = {
        row: next(r for r, (k, o) in enumerate(items) if k == key and o != owner)
        for row, (key, owner) in enumerate(items)
        if len({o for k, o in items if k == key}) > 1
    }
    assert shared(keys, owners) == expected


def test_texts_that_look_alike_have_one_key():
    same = ["A café ", "a  cafe\u0301", "Ａ café"]
    assert len({text_key(text) for text in same}) == 1
    assert text_key("a cafe") != text_key("a café")


def test_nothing_is_said_where_nothing_is_equal(told):
    assert told(train=features(9), test=features(5, 1)) == []


def test_one_photo_under_two_names_and_equal_captions(told, tmp_path):
    names = ["a.jpg", "b.jpg", "copy.jpg", "d.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(b"a" if name == "copy.jpg" else name[:1].encode())
    captions = [("a dog", "a dog"), ("A  Dog", "a cat"), ("a sofa",), ("a bed",)]
    pairs = Pairs(np.array(names), np.array([str(tmp_path / name) for name in names]), captions)
    images, texts = told(test=pairs)
    assert images.startswith("test: 2 of 4 images are equal to another one (copy.jpg = a.jpg): ")
    assert texts.startswith("test: 3 of 6 texts are equal to another one ('A  Dog' = 'a dog'): ")
    # In the training split they are no trouble for a measure.
    assert told(train=pairs) == []


def test_equal_rows_of_features(told):
    pairs = features(6)
    pairs.images[[1, 4]], pairs.texts[[0, 2, 3]] = pairs.images[0], pairs.texts[5]
    images, texts = told(validation=pairs)
    assert "3 of 6 images are equal to another one (row/1 = row/0, row/4 = row/0)" in images
    assert "4 of 6 texts are equal" in texts


def test_repeated_images_are_told_as_the_protocol(told):
    def rows_of(image: np.ndarray, ids=None) -> Pairs:
        pairs = features(10)
        return Pairs(pairs.ids, pairs.images[image], pairs.texts, image_ids=ids)

    image = np.arange(10) // 2
    (said,) = told(test=rows_of(image, image))
    assert "test: 10 rows are 5 images with 2 captions each; evaluated by the 2-caption" in said
    (said,) = told(test=rows_of(image))
    assert "10 of 10 images are equal to another one" in said
    image = np.minimum(image, 3)
    (said,) = told(test=rows_of(image, image))
    assert "10 rows are 4 images with 2 to 4 captions each" in said


def test_images_in_two_splits(told):
    train, test = features(9, name="train"), features(5, 1, "test")
    test.images[[0, 3]] = train.images[[7, 2]]
    (said,) = told(train=train, validation=features(4, 2), test=test)
    assert said.startswith("2 of 5 images of test are in train, too (test/0 = train/7, test/3 = ")


def test_the_database_of_a_test_split_may_be_the_training_split(told):
    train = features(9, name="train")
    labels = np.ones((14, 1), np.uint8)
    both = np.concatenate([features(5, 1).images, train.images])
    asks = np.arange(14) < 5
    test = Pairs(np.arange(14).astype(str), both, features(14, 3).texts, labels, queries=asks)
    assert told(train=train, test=test) == []
