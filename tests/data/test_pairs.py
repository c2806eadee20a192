import numpy as np
import pytest

from tfxmodal.data import Dataset, Pairs
from tfxmodal.data.pairs import multi_hot
from tfxmodal.errors import InputError


def pairs(labels=None, **columns):
    return Pairs(np.arange(4), np.zeros((4, 2)), np.zeros((4, 3)), labels, **columns)


def test_labels_without_names_are_numbered():
    labels = np.zeros((4, 3), np.uint8)
    dataset = Dataset("mine", pairs(labels), pairs(labels), pairs(labels))
    assert dataset.class_names == ("0", "1", "2") and dataset.classes == 3
    assert Dataset("mine", pairs(), pairs(), pairs(labels)).classes == 3
    without = Dataset("mine", pairs(), pairs(), pairs())
    assert without.class_names is None and without.classes == 0


def test_splits_of_other_classes_are_refused():
    some = pairs(np.zeros((4, 3), np.uint8))
    with pytest.raises(InputError, match=r"each of its 3 classes; received columns .*'test': 2"):
        Dataset("mine", some, some, pairs(np.zeros((4, 2), np.uint8)))
    with pytest.raises(InputError, match="each of its 1 classes"):
        Dataset("mine", some, some, some, class_names=("dog",))


@pytest.mark.parametrize("asks", [np.zeros(4, bool), np.ones(4, bool)])
def test_a_split_of_queries_or_of_database_alone_is_refused(asks):
    some = pairs(np.ones((4, 1), np.uint8))
    test = pairs(some.labels, queries=asks)
    with pytest.raises(InputError, match="test split of mine names queries"):
        Dataset("mine", some, some, test)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_class_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"from 0 to 2; received \\[{wrong}\\] in row 1"):
        multi_hot([[0, 2], [wrong]], 3)
