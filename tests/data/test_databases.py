import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.datasets.test_features import made_up, write_npy
from tests.data.datasets.test_mirflickr import folder as mirflickr_folder  # noqa: F401
from tfxmodal.data import load_dataset
from tfxmodal.data.databases import JoinedFeatures
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), data=st.data())
def test_joined_features_are_the_concatenation(sizes, data):
    parts = [np.random.default_rng(i).random((n, 3), np.float32) for i, n in enumerate(sizes)]
    joined, whole = JoinedFeatures(parts), np.concatenate(parts)
    assert joined.shape == whole.shape and len(joined) == len(whole)
    n = len(whole)
    rows = data.draw(
        st.one_of(
            st.slices(n),
            st.integers(0, n - 1),
            st.lists(st.integers(-n, n - 1)).map(lambda rows: np.array(rows, int)),
            st.lists(st.booleans(), min_size=n, max_size=n).map(np.array),
        )
    )
    np.testing.assert_array_equal(joined[rows], whole[rows])
    np.testing.assert_array_equal(np.asarray(joined), whole)


@pytest.mark.parametrize("database, splits", [("train", 1), ("rest", 2)])
def test_ready_features_are_joined_on_disk(tmp_path, database, splits):
    arrays = made_up(validation=5)
    write_npy(tmp_path, arrays)
    alone = load_dataset("features", tmp_path)
    dataset = load_dataset("features", tmp_path, database=database)
    names = ("test", "train", "validation")[: 1 + splits]
    for kind, column in (("img", "images"), ("txt", "texts")):
        rows = np.concatenate([arrays[f"{name}_{kind}"] for name in names])
        joined = getattr(dataset.test, column)
        assert not isinstance(joined, np.ndarray)
        np.testing.assert_array_equal(joined[:], rows)
    asking, searched = dataset.test.sides
    assert dataset.test.ids[asking].tolist() == alone.test.ids.tolist()
    assert [name.split("/")[0] for name in dataset.test.ids[searched]] == [
        name for name in names[1:] for _ in getattr(alone, name).ids
    ]
    for split in ("train", "validation"):
        assert getattr(dataset, split).ids.tolist() == getattr(alone, split).ids.tolist()
    assert load_dataset("features", tmp_path, database="test").test.queries is None


def test_photos_and_captions_keep_their_ids(mirflickr_folder):  # noqa: F811
    alone = load_dataset("mirflickr", mirflickr_folder)
    dataset = load_dataset("mirflickr", mirflickr_folder, database="rest")
    asking, searched = dataset.test.sides
    assert len(asking) == 5 and len(searched) == 45
    assert dataset.test.ids[asking].tolist() == alone.test.ids.tolist()
    assert not set(dataset.test.ids[asking]) & set(dataset.test.ids[searched])
    assert dataset.test.has_image_files and dataset.test.has_captions
    image_of = dict(zip(dataset.test.ids, dataset.test.images, strict=True))
    for name, path in zip(alone.train.ids, alone.train.images, strict=True):
        assert image_of[name] == path


def test_what_cannot_be_a_database(tmp_path):
    write_npy(tmp_path, made_up(validation=5))
    with pytest.raises(InputError, match="Unknown database 'all'; use one of: rest, test, train"):
        load_dataset("features", tmp_path / "missing", database="all")
    np.save(tmp_path / "test_queries.npy", np.array([1, 0, 0, 0, 0, 1]))
    with pytest.raises(InputError, match="names its queries itself; received `database` train"):
        load_dataset("features", tmp_path, database="train")
    (tmp_path / "train_lab.npy").unlink()
    with pytest.raises(InputError, match="`database` train needs labels and pairs in every split"):
        load_dataset("features", tmp_path, database="train")


def test_queries_need_labels_and_keep_to_their_rows():
    labels = np.eye(3, dtype=np.uint8)
    asks = np.array([True, False, True])
    pairs = Pairs(np.arange(3), np.zeros((3, 2)), np.zeros((3, 2)), labels, queries=asks)
    assert pairs.take(np.array([2, 1])).queries.tolist() == [True, False]
    assert [side.tolist() for side in pairs.sides] == [[0, 2], [1]]
    for change in ({"labels": None}, {"queries": np.array([0, 2])}, {"queries": asks[:2]}):
        with pytest.raises(InputError, match="`queries` must be bool|must have one row a pair"):
            Pairs(
                **{name: getattr(pairs, name) for name in ("ids", "images", "texts")}
                | {"labels": labels, "queries": asks}
                | change
            )
