import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.datasets.test_features import made_up, write_npy
from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import features
from tfxmodal.data.pairs import Pairs
from tfxmodal.data.repeated import first_rows, one_row_a_caption, with_image_ids
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import DIRECTIONS, evaluate_pairs
from tfxmodal.methods import METHODS


def grouped(owners) -> set[frozenset[int]]:
    """Which rows are one image."""
    return {frozenset(np.flatnonzero(owners == owner).tolist()) for owner in owners}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_equal_rows_are_one_image_wherever_they_stand(image_of_row, seed):
    images = np.random.default_rng(seed).standard_normal((6, 3)).astype(np.float32)[image_of_row]
    pairs = Pairs(np.arange(len(images)), images, images)
    found = with_image_ids(pairs)
    assert grouped(found.owners) == grouped(np.array(image_of_row))
    assert (found.image_ids is None) == (len(set(image_of_row)) == len(image_of_row))
    some = np.arange(len(images))[::-2]
    assert grouped(found.take(some).owners) == grouped(np.array(image_of_row)[some])


def test_rows_of_zeros_and_of_other_labels_stay_apart():
    images = np.array([[1, 0], [0, 0], [1, -0.0], [0, 0], [2, 0], [2, 0]], np.float32)
    labels = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], np.uint8)
    found = with_image_ids(Pairs(np.arange(6), images, images, labels))
    assert found.owners.tolist() == [0, 1, 0, 3, 4, 5]
    with pytest.raises(InputError, match="Rows 4 and 5 .* one image and have different labels"):
        Pairs(np.arange(6), images, images, labels, image_ids=np.array([0, 1, 2, 3, 4, 4]))


def layouts(captions=3):
    """One dataset in the forms that it may have: by name, the arrays of its folder."""
    once = made_up(train=40, test=8, validation=6)
    rng = np.random.default_rng(1)
    repeated, mapped = {}, {}
    for split, n in (("train", 40), ("validation", 6), ("test", 8)):
        rows = rng.permutation(np.repeat(np.arange(n), captions))
        texts = {f"{split}_txt": rng.random((len(rows), 4), np.float32)}
        image, labels = once[f"{split}_img"], once[f"{split}_lab"]
        repeated |= texts | {f"{split}_img": image[rows], f"{split}_lab": labels[rows]}
        mapped |= texts | {f"{split}_img": image, f"{split}_lab": labels}
        mapped[f"{split}_cap_img"] = rows
    of = {name: rows for name, rows in mapped.items() if name.endswith("_cap_img")}
    return {
        "repeated": repeated,
        "mapped": mapped,
        "both": repeated | {name: first_rows(rows.tolist()) for name, rows in of.items()},
        "both, any number": repeated | {name: 7.0 * rows[None] + 1 for name, rows in of.items()},
        "labels of captions": mapped | {n: a for n, a in repeated.items() if n.endswith("_lab")},
        "labels of images": {n.replace("_lab", "_img_lab"): a for n, a in mapped.items()},
    }


@pytest.mark.parametrize("layout", layouts())
def test_every_layout_is_the_same_dataset(layout, tmp_path):
    arrays, expected = layouts()[layout], layouts()["repeated"]
    dataset = load_dataset("features", write_npy(tmp_path, arrays))
    for split, pairs in dataset.splits():
        for ours, name in ((pairs.images, "img"), (pairs.texts, "txt")):
            np.testing.assert_array_equal(np.asarray(ours), expected[f"{split}_{name}"])
        np.testing.assert_array_equal(pairs.labels.argmax(1), expected[f"{split}_lab"])
        assert grouped(pairs.owners) == grouped(layouts()["mapped"][f"{split}_cap_img"])
    features.save(dataset, tmp_path / "again")
    again = features.load(tmp_path / "again")
    for (_, ours), (_, theirs) in zip(again.splits(), dataset.splits(), strict=True):
        np.testing.assert_array_equal(ours.owners, theirs.owners)
        np.testing.assert_array_equal(np.asarray(ours.images), np.asarray(theirs.images))


def test_one_caption_each_in_another_order(tmp_path):
    arrays, order = made_up(validation=5), np.array([3, 0, 1, 5, 4, 2])
    arrays["test_cap_img"] = order
    test = features.load(write_npy(tmp_path, arrays)).test
    np.testing.assert_array_equal(np.asarray(test.images), arrays["test_img"][order])
    assert grouped(test.owners) == grouped(np.arange(6))


def test_validation_of_every_tenth_image_has_all_of_its_captions(tmp_path):
    arrays = {n: a for n, a in layouts()["repeated"].items() if not n.startswith("validation")}
    dataset = features.load(write_npy(tmp_path, arrays))
    assert (len(dataset.validation), len(dataset.train)) == (12, 108)
    ours, theirs = ({row.tobytes() for row in pairs.images} for _, pairs in [*dataset.splits()][:2])
    assert len(ours) == 36 and len(theirs) == 4 and not ours & theirs


def test_a_database_of_other_splits_keeps_images_apart(tmp_path):
    write_npy(tmp_path, layouts()["repeated"])
    test = load_dataset("features", tmp_path, database="train").test
    rows = [layouts()["mapped"][f"{split}_cap_img"] for split in ("test", "train")]
    assert grouped(test.owners) == grouped(np.concatenate([rows[0], rows[1] + 100]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.arange(23) % 8, r"test_cap_img in .* each of the 24 captions .* shape \[23\]"),
        (np.arange(24) % 8 + 1, "must name each of the 8 image rows, from 0 to 7; .* from 1 to 8"),
        (np.arange(24) % 7, "received 7 numbers from 0 to 6: count from 0, and leave out images"),
        (np.arange(24) / 2, "must be whole numbers"),
        (np.full(24, "a"), "must be whole numbers"),
    ],
)
def test_wrong_maps(tmp_path, given, message):
    write_npy(tmp_path, layouts()["mapped"] | {"test_cap_img": given})
    with pytest.raises(InputError, match=message):
        features.load(tmp_path)


def test_a_map_that_joins_unlike_rows(tmp_path):
    write_npy(tmp_path, made_up(validation=5) | {"test_cap_img": np.array([0, 0, 1, 1, 2, 2])})
    with pytest.raises(InputError, match="gives captions 0 and 1 one image, .* differ: correct it"):
        features.load(tmp_path)


def test_labels_of_captions_and_of_images_that_differ(tmp_path):
    arrays = layouts()["labels of images"]
    arrays["train_txt_lab"] = 1 - np.minimum(arrays["train_img_lab"][arrays["train_cap_img"]], 1)
    with pytest.raises(InputError, match="train_img_lab and train_txt_lab in .* differ: align"):
        features.load(write_npy(tmp_path, arrays))


def test_rows_that_do_not_fit_name_the_map(tmp_path):
    arrays = {n: a for n, a in layouts()["mapped"].items() if n != "test_cap_img"}
    with pytest.raises(InputError, match="8 and 24 rows: .* each caption's image in test_cap_img"):
        features.load(write_npy(tmp_path, arrays))


def test_repeated_rows_measure_like_one_caption_each(tmp_path):
    """Text to image R@1 was 0: each text found five equal images, one of them the right one."""
    rng = np.random.default_rng(0)
    to_image, to_text = rng.standard_normal((8, 24)), rng.standard_normal((8, 16))
    recalls = {}
    for captions in (1, 5):
        arrays = {}
        for split, n in (("train", 120), ("validation", 40), ("test", 40)):
            seen = np.random.default_rng(n + len(split)).standard_normal((n, 8))
            rows = np.repeat(np.arange(n), captions)
            noise = 0.5 * rng.standard_normal((len(rows), 16))
            arrays[f"{split}_img"] = (seen @ to_image)[rows].astype(np.float32)
            arrays[f"{split}_txt"] = (seen[rows] @ to_text + noise).astype(np.float32)
        folder = tmp_path / str(captions)
        folder.mkdir()
        dataset = features.load(write_npy(folder, arrays))
        pls = METHODS["pls"]
        fitted = pls.fit(dataset.train, dataset.validation, pls.config(), "auto", 0, None)
        found = evaluate_pairs(fitted.scorer(), dataset.test)
        assert found["queries"] == {"image_to_text": 40, "text_to_image": 40 * captions}
        assert found["queries_with_ties"] == {"image_to_text": 0, "text_to_image": 0}
        recalls[captions] = [found["recall_at"][way]["1"] for way in DIRECTIONS]
    assert min(recalls[1]) > 0.8
    assert recalls[5] == pytest.approx(recalls[1], abs=0.12)


def test_a_row_a_caption():
    pairs = Pairs(
        np.array(["a", "b", "c"]),
        np.array(["a.jpg", "b.jpg", "c.jpg"]),
        [("one", "two"), (), ("three",)],
        np.eye(3, dtype=np.uint8),
    )
    rows = one_row_a_caption(pairs)
    assert rows.ids.tolist() == ["a#0", "a#1", "b#0", "c#0"]
    assert rows.images.tolist() == ["a.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert rows.texts == [("one",), ("two",), ("",), ("three",)]
    assert rows.image_ids.tolist() == [0, 0, 1, 2]
    np.testing.assert_array_equal(rows.labels, np.eye(3)[[0, 0, 1, 2]])
    assert one_row_a_caption(rows) is rows


def test_a_row_a_caption_of_unpaired_texts():
    pairs = Pairs(
        np.array(["a"]),
        np.array(["a.jpg"]),
        [("one", "two"), ("three",)],
        np.array([[1, 0]], np.uint8),
        np.array([[1, 0], [0, 1]], np.uint8),
    )
    rows = one_row_a_caption(pairs)
    assert rows.texts == [("one",), ("two",), ("three",)] and rows.images.tolist() == ["a.jpg"]
    np.testing.assert_array_equal(rows.text_labels, [[1, 0], [1, 0], [0, 1]])
