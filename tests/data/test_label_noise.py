from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.tiny import make_pairs
from tfxmodal.data.label_noise import noisy_labels, with_label_noise
from tfxmodal.data.pairs import labelled
from tfxmodal.errors import InputError


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 6),
    st.integers(1, 40),
    st.floats(0, 1),
    st.sampled_from(["symmetric", "asymmetric"]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_a_share_of_the_rows_has_as_many_other_classes(classes, n, rate, kind, several, seed):
    random = np.random.default_rng(seed)
    labels = np.eye(classes, dtype=np.uint8)[random.integers(0, classes, n)]
    if several:
        labels |= random.random((n, classes)) < 0.4
    labels[::5] = 0  # Rows without a label stay so.
    noisy = noisy_labels(labels, rate, kind, seed)
    wrong = (noisy != labels).any(axis=1)
    may_be = labelled(labels[~labels.all(axis=1)])
    assert np.count_nonzero(wrong) == round(rate * len(may_be))
    had = labels[wrong].sum(axis=1)
    np.testing.assert_array_equal(noisy[wrong].sum(axis=1), np.minimum(had, classes - had))
    assert (noisy[wrong] * labels[wrong]).sum() == 0
    if kind == "asymmetric" and not several:
        np.testing.assert_array_equal(
            noisy[wrong].argmax(axis=1), (labels[wrong].argmax(axis=1) + 1) % classes
        )


def test_asymmetric_noise_takes_the_next_classes_that_a_row_has_not():
    rows = [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1], [1, 0, 1, 1, 1]]
    expected = [[0, 0, 1, 1, 0], [0, 1, 0, 1, 0], [1, 1, 0, 0, 0], [0, 1, 0, 0, 0]]
    noisy = noisy_labels(np.array(rows, np.uint8), 1.0, "asymmetric", 0)
    np.testing.assert_array_equal(noisy, expected)


def test_symmetric_noise_reaches_every_other_class_alike():
    labels = np.tile(np.eye(4, dtype=np.uint8)[0], (3000, 1))
    reached = noisy_labels(labels, 1.0, "symmetric", 0).mean(axis=0)
    np.testing.assert_allclose(reached, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.03)


def test_the_seed_decides_which():
    train = make_pairs()
    one, same, other = (with_label_noise(train, 0.5, "asymmetric", s).labels for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any() and (one != train.labels).any()
    assert with_label_noise(train, 0.0, "symmetric", 0) is train


def test_rows_that_repeat_an_image_are_wrong_together():
    train, owners = make_pairs(30), np.arange(30) // 3
    images = train.take(np.arange(0, 30, 3))
    repeated = replace(train, labels=images.labels[owners], image_ids=owners)
    found = with_label_noise(repeated, 0.4, "symmetric", 0).labels
    expected = with_label_noise(images, 0.4, "symmetric", 0).labels
    np.testing.assert_array_equal(found, expected[owners])
    assert (expected != images.labels).any()


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
def test_a_row_of_every_class_stays(kind):
    labels = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]], np.uint8)
    noisy = noisy_labels(labels, 1.0, kind, 0)
    np.testing.assert_array_equal((noisy != labels).any(axis=1), [False, True, True])


def test_without_labels_it_is_refused():
    train = make_pairs()
    for labels in (None, np.zeros_like(train.labels)):
        without = type(train)(train.ids, train.images, train.texts, labels)
        with pytest.raises(InputError, match="`label_noise` 0.2 .* have none"):
            with_label_noise(without, 0.2, "symmetric", 0)
