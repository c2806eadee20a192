import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import features
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.errors import InputError


def made_up(train=20, test=6, validation=None, classes=3):
    """Arrays of a small dataset under the names of the layout."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, rows in (("train", train), ("validation", validation), ("test", test)):
        if rows:
            arrays[f"{split}_img"] = rng.random((rows, 5), np.float32)
            arrays[f"{split}_txt"] = rng.random((rows, 4), np.float32)
            arrays[f"{split}_lab"] = np.arange(rows) % classes
    return arrays


def write_npy(folder, arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def assert_equal(dataset, arrays):
    for split, pairs in dataset.splits():
        np.testing.assert_array_equal(pairs.images, arrays[f"{split}_img"])
        np.testing.assert_array_equal(pairs.texts, arrays[f"{split}_txt"])
        np.testing.assert_array_equal(pairs.labels.argmax(1), arrays[f"{split}_lab"])


def test_npy_stays_on_disk(tmp_path):
    arrays = made_up(validation=5)
    dataset = load_dataset("features", write_npy(tmp_path, arrays))
    assert_equal(dataset, arrays)
    assert isinstance(dataset.train.images, np.memmap)
    assert dataset.test.ids.tolist() == [f"test/{row}" for row in range(6)]
    assert dataset.class_names == ("0", "1", "2")


def test_npz(tmp_path):
    arrays = made_up(validation=5)
    np.savez(tmp_path / "all.npz", notes=np.zeros(1), **arrays)
    assert_equal(features.load(tmp_path), arrays)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_mat_of_any_key(tmp_path, version):
    arrays = made_up(validation=5)
    for name, array in arrays.items():
        file = name.replace("_lab", "_img_lab")
        array = array[:, None] if array.ndim == 1 else array
        if version == "5":
            scipy.io.savemat(tmp_path / f"{file}.mat", {"whatever": array})
        else:
            with h5py.File(tmp_path / f"{file}.mat", "w") as hdf5:
                hdf5["whatever"] = array.T
    assert_equal(features.load(tmp_path), arrays)


def test_sparse_and_double_become_dense_float32(tmp_path):
    arrays = made_up(validation=5)
    words = scipy.sparse.csc_matrix(arrays.pop("train_txt").astype(np.float64))
    scipy.io.savemat(tmp_path / "train_txt.mat", {"train_txt": words})
    dataset = features.load(write_npy(tmp_path, arrays))
    assert dataset.train.texts.dtype == np.float32
    np.testing.assert_array_equal(dataset.train.texts, words.toarray())


def test_without_validation_every_tenth_training_row_is(tmp_path):
    arrays = made_up()
    dataset = features.load(write_npy(tmp_path, arrays))
    assert dataset.validation.ids.tolist() == ["train/9", "train/19"]
    np.testing.assert_array_equal(dataset.validation.images, arrays["train_img"][[9, 19]])
    assert len(dataset.train) == 18 and len(dataset.test) == 6
    assert not set(dataset.train.ids) & set(dataset.validation.ids)


def test_labels_of_any_base_and_multi_hot(tmp_path):
    arrays = made_up(validation=5)
    for name in [name for name in arrays if name.endswith("_lab")]:
        arrays[name] = 10.0 * arrays[name] + 1
    dataset = features.load(write_npy(tmp_path, arrays))
    assert dataset.class_names == ("1", "11", "21")
    np.testing.assert_array_equal(dataset.test.labels, np.eye(3)[np.arange(6) % 3])
    hot = {n: np.eye(4)[a.astype(int) // 10] for n, a in arrays.items() if n.endswith("_lab")}
    hot["test_lab"][0] = (1, 0, 1, 1)
    dataset = features.load(write_npy(tmp_path, hot))
    assert dataset.class_names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(dataset.test.labels, hot["test_lab"])


def test_labels_may_be_absent(tmp_path):
    arrays = {name: a for name, a in made_up(validation=5).items() if name != "train_lab"}
    dataset = features.load(write_npy(tmp_path, arrays))
    assert dataset.train.labels is None and dataset.test.labels.shape == (6, 3)
    for path in tmp_path.glob("*_lab.npy"):
        path.unlink()
    assert features.load(tmp_path).class_names is None


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train_txt", np.ones((19, 4)), "have 20 and 19 rows: write one row a pair"),
        ("test_img", np.ones((6, 9)), "test_img in .* is 9 wide and train_img 5"),
        ("train_img", np.ones(20), r"must be real numbers \[n, dim\]; received float64 \[20\]"),
        ("train_img", np.full((20, 5), "a"), "must be real numbers"),
        ("train_lab", np.ones(19), r"train_lab in .* \[20\] or \[20, classes\].*received"),
        ("train_lab", np.full(20, 0.5), "whole numbers"),
        ("train_lab", np.full(20, -2), r"negative label that is not -1 .* row 0 \(-2\)"),
        ("train_lab", np.arange(20) - 3.0, "negative label that is not -1"),
        ("train_img", np.ones((20, 5)) * 1j, "must be real numbers .* received complex128"),
        ("train_img", np.full((20, 5), 1e39), r"float32 cannot hold, first in row 0 \(1e\+39\)"),
        (
            "train_img",
            np.full((20, 5), -(2**40)),
            "whole numbers beyond 16,777,216, first in row 0",
        ),
        ("train_img", np.ones((5, 20)), r"train_img in .* looks transposed.* received \[5, 20\]"),
        ("test_txt", np.ones((4, 6)), "test_txt in .* looks transposed"),
        ("train_lab", np.full(20, "cat"), "whole numbers"),
        ("train_lab", np.ones((20, 3)), "labels of different widths"),
        ("train_img_lab", np.zeros(20), "train_lab and train_img_lab in .* differ"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, name, array, message):
    write_npy(tmp_path, made_up() | {name: array})
    with pytest.raises(InputError, match=message):
        features.load(tmp_path)


def test_one_hot_labels_of_other_numbers(tmp_path):
    arrays = made_up()
    arrays |= {f"{split}_lab": np.full((n, 3), 2) for split, n in (("train", 20), ("test", 6))}
    with pytest.raises(InputError, match="must be 0 or 1"):
        features.load(write_npy(tmp_path, arrays))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_names_the_first_row(tmp_path, value):
    arrays = made_up(train=5000)
    arrays["train_txt"][4321, 2] = arrays["train_txt"][4999, 0] = value
    with pytest.raises(InputError, match="train_txt in .* NaN or infinite values, .* row 4321"):
        features.load(write_npy(tmp_path, arrays))


def test_what_is_missing_is_told_with_what_is_there(tmp_path):
    with pytest.raises(InputError, match="lacks train_img .*no array of a known name"):
        features.load(tmp_path)
    write_npy(tmp_path, made_up())
    (tmp_path / "test_txt.npy").unlink()
    with pytest.raises(InputError, match="lacks test_txt .* it has test_img, test_lab, train_img"):
        features.load(tmp_path)


def test_twice_the_same_name(tmp_path):
    arrays = made_up()
    write_npy(tmp_path, arrays)
    np.savez(tmp_path / "all.npz", train_img=arrays["train_img"])
    with pytest.raises(InputError, match="gives train_img in two files"):
        features.load(tmp_path)


@pytest.mark.parametrize("suffix", ["npy", "npz", "mat"])
def test_cut_short(tmp_path, suffix):
    arrays = made_up(train=2000)
    write_npy(tmp_path, arrays)
    path = tmp_path / f"train_img.{suffix}"
    if suffix == "npz":
        np.savez(path, train_img=arrays["train_img"])
    elif suffix == "mat":
        scipy.io.savemat(path, {"x": arrays["train_img"]})
    path.write_bytes(path.read_bytes()[:-999])
    with pytest.raises(InputError, match=f"Cannot read arrays from .*train_img.{suffix}"):
        features.load(tmp_path)


def test_python_objects_are_refused(tmp_path):
    write_npy(tmp_path, made_up())
    np.save(tmp_path / "train_img.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Cannot read arrays from .*train_img.npy"):
        features.load(tmp_path)


def test_mat_of_several_arrays(tmp_path):
    scipy.io.savemat(tmp_path / "train_img.mat", {"a": np.ones(2), "b": np.ones(2)})
    with pytest.raises(InputError, match="must hold one array; received a, b"):
        features.load(tmp_path)


def test_the_field_s_published_layout(shared_data, tmp_path):
    published = shared_data / "pascal_sentences" / "dscmr_mat"
    with pytest.raises(InputError, match="lacks train_img .*it has test_img, test_img_lab"):
        features.load(published)
    for path in published.iterdir():
        (tmp_path / path.name).symlink_to(path)
    images = np.random.default_rng(0).random((800, 4096), np.float32)
    scipy.io.savemat(tmp_path / "train_img.mat", {"train_img": images})
    dataset = load_dataset("features", tmp_path)
    assert [len(pairs) for _, pairs in dataset.splits()] == [720, 80, 100]
    assert dataset.test.images.shape == (100, 4096) and dataset.test.texts.shape == (100, 300)
    assert len(dataset.class_names) == 20
    np.testing.assert_array_equal(dataset.test.labels.sum(0), np.full(20, 5))
    assert (dataset.validation.labels.sum(0) > 0).all()


def test_what_is_saved_is_loaded_again(tmp_path):
    (tmp_path / "first").mkdir()
    dataset = features.load(write_npy(tmp_path / "first", made_up(train=5000)))
    features.save(dataset, tmp_path / "second")
    again = features.load(tmp_path / "second")
    for (name, ours), (_, theirs) in zip(again.splits(), dataset.splits(), strict=True):
        assert len(ours) == len(theirs) > 0, name
        for column in ("images", "texts", "labels"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    with pytest.raises(InputError, match="second is there already and not empty"):
        features.save(dataset, tmp_path / "second")


def test_what_is_saved_keeps_images_of_equal_rows_apart_and_the_names_of_classes(tmp_path):
    def pairs(n, image_ids=None):
        images = np.random.default_rng(n).random((n, 3), np.float32)
        images[2], images[3] = images[0], images[1]
        labels = np.eye(2, dtype=np.uint8)[np.arange(n) % 2]
        return Pairs(np.arange(n), images, images, labels, image_ids=image_ids)

    splits = pairs(6), pairs(5), pairs(7, np.array([0, 1, 0, 3, 4, 5, 6]))
    dataset = Dataset("features", *splits, class_names=("Größe", "a b"))
    features.save(dataset, tmp_path / "out")
    again = features.load(tmp_path / "out")
    assert again.class_names == dataset.class_names
    for (_, ours), (_, theirs) in zip(again.splits(), dataset.splits(), strict=True):
        np.testing.assert_array_equal(ours.owners, theirs.owners)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert isinstance(again.train.images, np.memmap)


def test_classes_are_named_in_the_order_of_their_numbers(tmp_path):
    write_npy(tmp_path, made_up(validation=5))
    (tmp_path / "classes.txt").write_text("dog\ncat\nsea\n")
    assert features.load(tmp_path).class_names == ("dog", "cat", "sea")
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(InputError, match="are of 3 classes, and classes.txt there names 2: write"):
        features.load(tmp_path)


def test_rows_without_the_one_class_are_saved_as_such(tmp_path):
    columns = [np.array([[1], [0], [1], [0]]), np.array([[1], [1]]), np.array([[0], [0]])]
    splits = [
        Pairs(np.arange(n), np.ones((n, 3)), np.ones((n, 2)), labels.astype(np.uint8))
        for labels in columns
        for n in [len(labels)]
    ]
    features.save(Dataset("features", *splits), tmp_path / "out")
    loaded = load_dataset("features", tmp_path / "out")
    assert loaded.class_names == ("0",) and loaded.test.labels is None
    for pairs, labels in zip((loaded.train, loaded.validation), columns, strict=False):
        np.testing.assert_array_equal(pairs.labels, labels)


def test_nothing_half_saved_passes_for_whole(tmp_path):
    (tmp_path / "first").mkdir()
    dataset = features.load(write_npy(tmp_path / "first", made_up()))

    def until_the_disk_is_full(items, **_):
        yield next(iter(items))
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left on device.*make room"):
        features.save(dataset, tmp_path / "second", until_the_disk_is_full)
    assert not (tmp_path / "second").exists()
    features.save(dataset, tmp_path / "second")
    assert len(features.load(tmp_path / "second").train) == len(dataset.train)


def unpaired(train=20, texts=31, validation=5):
    """As `made_up`, with a set of texts for training that is not the images'."""
    arrays, more = made_up(train, validation=validation), made_up(texts)
    arrays["train_img_lab"] = arrays.pop("train_lab")
    arrays["train_txt"], arrays["train_txt_lab"] = more["train_txt"], more["train_lab"][::-1]
    return arrays


def test_training_images_and_texts_need_not_be_paired(tmp_path):
    arrays = unpaired()
    dataset = features.load(write_npy(tmp_path, arrays))
    train = dataset.train
    assert not train.paired and dataset.validation.paired and dataset.test.paired
    for ours, name in ((train.images, "img"), (train.texts, "txt")):
        np.testing.assert_array_equal(ours, arrays[f"train_{name}"])
    np.testing.assert_array_equal(train.labels.argmax(1), arrays["train_img_lab"])
    np.testing.assert_array_equal(train.text_labels.argmax(1), arrays["train_txt_lab"])
    assert len(train.take(np.arange(3)).texts) == 31  # The images' rows alone are taken.

    features.save(dataset, tmp_path / "again")
    again = features.load(tmp_path / "again").train
    for column in ("images", "texts", "labels", "text_labels"):
        np.testing.assert_array_equal(getattr(again, column), getattr(train, column))


def test_unpaired_sets_cannot_be_split_into_validation_pairs(tmp_path):
    with pytest.raises(InputError, match="lacks validation_img, and its training .* not paired"):
        features.load(write_npy(tmp_path, unpaired(validation=None)))


def test_test_rows_that_ask_are_named_and_saved(tmp_path):
    arrays = made_up(validation=5)
    asks = np.array([0, 1, 1, 0, 0, 0])
    write_npy(tmp_path, arrays | {"test_queries": asks})
    dataset = features.load(tmp_path)
    assert dataset.test.queries.tolist() == (asks == 1).tolist()
    assert dataset.validation.queries is None
    features.save(dataset, tmp_path / "again")
    again = features.load(tmp_path / "again")
    assert_equal(again, arrays)
    assert again.test.queries.tolist() == (asks == 1).tolist()


def test_a_split_with_a_database_of_its_own_is_saved(tmp_path):
    write_npy(tmp_path, made_up(validation=5))
    dataset = load_dataset("features", tmp_path, database="rest")
    features.save(dataset, tmp_path / "again")
    again = features.load(tmp_path / "again")
    np.testing.assert_array_equal(again.test.images, dataset.test.images[:])
    np.testing.assert_array_equal(again.test.queries, dataset.test.queries)


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        (np.array([0, 1, 2, 0, 0, 0]), "must be 0 or 1 for each of the 6 test rows"),
        (np.array([0, 1]), "test_queries in .* must be whole numbers"),
        (np.zeros(6), "received 0 queries among 6 pairs"),
    ],
)
def test_wrong_queries(tmp_path, asks, message):
    write_npy(tmp_path, made_up(validation=5) | {"test_queries": asks})
    with pytest.raises(InputError, match=message):
        features.load(tmp_path)


@pytest.mark.parametrize("unknown", [-1, np.nan])
def test_minus_one_and_nan_are_no_label(tmp_path, caplog, unknown):
    arrays = made_up(validation=5)
    numbers = {name: arrays[name].astype(type(unknown)) for name in arrays if name.endswith("lab")}
    numbers["train_lab"][::2] = unknown
    numbers["validation_lab"][:] = unknown
    dataset = features.load(write_npy(tmp_path, arrays | numbers))
    assert dataset.class_names == tuple(str(n) for n in range(3))
    expected = np.eye(3)[arrays["train_lab"]]
    expected[::2] = 0
    np.testing.assert_array_equal(dataset.train.labels, expected)
    assert dataset.validation.labels is None and dataset.test.labels.any(axis=1).all()
    assert dataset.train.unlabelled == 10
    assert "10 of 20 rows of train_lab" in caplog.text


def test_whole_rows_of_minus_one_are_no_label(tmp_path):
    arrays = made_up(validation=5)
    hot = {n: np.eye(3)[a] for n, a in arrays.items() if n.endswith("_lab")}
    hot["train_lab"][[0, 4]] = -1
    dataset = features.load(write_npy(tmp_path, arrays | hot))
    np.testing.assert_array_equal(
        np.flatnonzero(~dataset.train.labels.any(axis=1)), [0, 4], strict=True
    )
    hot["train_lab"][7, 1] = -1
    with pytest.raises(InputError, match="negative label that is not -1 for a whole row.* row 7"):
        features.load(write_npy(tmp_path, hot))


def test_labels_of_nothing_but_minus_one_are_none(tmp_path):
    arrays = made_up(validation=5)
    arrays |= {name: np.full_like(a, -1) for name, a in arrays.items() if name.endswith("lab")}
    assert features.load(write_npy(tmp_path, arrays)).class_names is None


def test_equal_labels_as_a_column_and_a_vector_are_of_pairs(tmp_path, caplog):
    arrays = made_up(validation=5)
    arrays["train_img_lab"] = arrays["train_lab"].astype(float)
    arrays["train_img_lab"][3] = np.nan
    arrays["train_txt_lab"] = arrays["train_img_lab"][:, None]
    del arrays["train_lab"]
    assert features.load(write_npy(tmp_path, arrays)).train.paired
    np.save(tmp_path / "train_txt_lab.npy", 2 - arrays["train_txt_lab"])
    assert not features.load(tmp_path).train.paired
    assert "images and texts are not pairs" in caplog.text


@pytest.mark.parametrize("labels", [True, False])
def test_transposed_features_are_told(tmp_path, labels):
    arrays = made_up(validation=5)
    arrays = {n: a.T if a.ndim == 2 else a for n, a in arrays.items() if a.ndim == 2 or labels}
    with pytest.raises(InputError, match=r"train_img .* looks transposed.* received \[5, 20\]"):
        features.load(write_npy(tmp_path, arrays))


def test_one_array_in_an_npz_of_its_name(tmp_path):
    arrays = made_up(validation=5)
    np.savez(tmp_path / "train_img.npz", arrays["train_img"])
    dataset = features.load(write_npy(tmp_path, {n: arrays[n] for n in arrays if n != "train_img"}))
    np.testing.assert_array_equal(dataset.train.images, arrays["train_img"])


def test_an_npz_of_one_name_may_hold_others(tmp_path):
    arrays = made_up(validation=5)
    np.savez(tmp_path / "train_img.npz", **arrays)
    assert_equal(features.load(tmp_path), arrays)


def test_large_values_in_a_later_chunk_name_their_row(tmp_path):
    arrays = made_up(train=5000)
    arrays["train_img"] = arrays["train_img"].astype(np.float64)
    arrays["train_img"][4321, 1] = -1e300
    with pytest.raises(InputError, match=r"cannot hold, first in row 4321 \(1e\+300\): scale"):
        features.load(write_npy(tmp_path, arrays))
