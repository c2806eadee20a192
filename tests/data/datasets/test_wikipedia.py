import numpy as np
import pytest
import scipy.io

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import wikipedia
from tfxmodal.errors import InputError

TRAIN, TEST = 8, 6


@pytest.fixture
def original(tmp_path):
    """The original distribution in small: 8 training rows, 6 others."""
    rng = np.random.default_rng(0)
    features = {
        f"{letter}_{part}": rng.random((rows, dim))
        for letter, dim in (("I", 128), ("T", 10))
        for part, rows in (("tr", TRAIN), ("te", TEST))
    }
    scipy.io.savemat(tmp_path / "raw_features.mat", features)
    rows = [f"text{row}-1\timage{row}\t{row % 10 + 1}\n" for row in range(TRAIN + TEST)]
    (tmp_path / "trainset_txt_img_cat.list").write_text("".join(rows[:TRAIN]))
    (tmp_path / "testset_txt_img_cat.list").write_text("".join(rows[TRAIN:]))
    (tmp_path / "texts").mkdir()
    for row in range(TRAIN + TEST):
        name = wikipedia.CLASSES[row % 10]
        (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name / f"image{row}.jpg").touch()
        article = f"<document>\n<title>T</title>\n<text>\nArticle {row}\n of R&amp;B.\n</text>"
        (tmp_path / "texts" / f"text{row}-1.xml").write_text(article)
    return tmp_path


def write_npz(folder, labels=None):
    n = TRAIN + TEST
    labels = np.arange(n) % 10 if labels is None else labels
    columns = {"img_pca128": np.ones((n, 3), np.float32), "txt_100": np.ones((n, 2), np.float32)}
    np.savez(folder / "wikipedia_2866.npz", label=labels, n_train=TRAIN, **columns)


def test_original_features_and_split(original):
    dataset = wikipedia.load(original)
    assert [len(pairs) for _, pairs in dataset.splits()] == [8, 2, 4]
    mat = scipy.io.loadmat(original / "raw_features.mat")
    np.testing.assert_array_equal(dataset.train.images, mat["I_tr"].astype(np.float32))
    np.testing.assert_array_equal(dataset.validation.texts, mat["T_te"][:2].astype(np.float32))
    np.testing.assert_array_equal(dataset.test.texts, mat["T_te"][2:].astype(np.float32))
    assert dataset.test.ids[0] == "text10-1"
    np.testing.assert_array_equal(dataset.test.labels.argmax(1), np.arange(10, 14) % 10)
    assert (dataset.test.labels.sum(1) == 1).all()


def test_raw_articles_and_images(original):
    dataset = load_dataset("wikipedia", original, image_features="raw", text_features="raw")
    assert dataset.train.has_image_files and dataset.train.has_captions
    assert dataset.train.images[3] == str(original / "images" / "history" / "image3.jpg")
    assert dataset.train.texts[3] == ("Article 3 of R&B.",)


def test_npz_alone_and_beside_the_lists(original, tmp_path_factory):
    write_npz(original)
    assert wikipedia.load(original).train.images.shape == (8, 3)
    assert wikipedia.load(original, image_features="img_sift128").train.images.shape == (8, 128)
    alone = tmp_path_factory.mktemp("npz")
    write_npz(alone)
    assert wikipedia.load(alone).test.ids.tolist() == ["10", "11", "12", "13"]


def test_labels_that_disagree(original):
    write_npz(original, labels=np.zeros(TRAIN + TEST, int))
    with pytest.raises(InputError, match="different labels"):
        wikipedia.load(original)


def test_unknown_features_list_those_there(original):
    with pytest.raises(InputError, match="image_features 'vgg'; use one of: img_sift128, raw"):
        wikipedia.load(original, image_features="vgg")
    with pytest.raises(InputError, match="text_features 'txt_100'; use one of: raw, txt_lda10"):
        wikipedia.load(original, text_features="txt_100")


def test_missing_files(original, tmp_path_factory):
    with pytest.raises(InputError, match="holds no Wikipedia data"):
        wikipedia.load(tmp_path_factory.mktemp("empty"))
    (original / "images" / "art" / "image0.jpg").unlink()
    with pytest.raises(InputError, match=r"lacks 1 images \(image0\)"):
        wikipedia.load(original, image_features="raw")
    (original / "testset_txt_img_cat.list").unlink()
    with pytest.raises(InputError, match="Cannot read .*testset_txt_img_cat.list"):
        wikipedia.load(original)


def test_damaged_files(original):
    (original / "texts" / "text0-1.xml").write_text("<text>cut sh")
    with pytest.raises(InputError, match="text0-1.xml has no <text> section"):
        wikipedia.load(original, text_features="raw")
    (original / "texts" / "text0-1.xml").write_bytes(b"<text>caf\xe9</text>")
    with pytest.raises(InputError, match="not UTF-8 text .byte 0xe9 at 9"):
        wikipedia.load(original, text_features="raw")
    with (original / "trainset_txt_img_cat.list").open("a") as file:
        file.write("text image 11\n")
    with pytest.raises(InputError, match="Line 9 of .*from 1 to 10; received 'text image 11'"):
        wikipedia.load(original)


def test_an_empty_list_and_no_features(original):
    (original / "raw_features.mat").unlink()
    (original / "images").rename(original / "elsewhere")
    with pytest.raises(InputError, match="neither img_. features nor the lists with images/"):
        wikipedia.load(original)
    (original / "trainset_txt_img_cat.list").write_text("")
    with pytest.raises(InputError, match="Line 1 of .*received ''"):
        wikipedia.load(original)


def test_mat_without_its_arrays_or_with_rows_missing(original):
    mat = scipy.io.loadmat(original / "raw_features.mat")
    scipy.io.savemat(original / "raw_features.mat", {"I_tr": mat["I_tr"], "I_te": mat["I_te"]})
    with pytest.raises(InputError, match="must hold T_tr and T_te"):
        wikipedia.load(original)
    arrays = {name: mat[name][:3] for name in ("I_tr", "I_te", "T_tr", "T_te")}
    scipy.io.savemat(original / "raw_features.mat", arrays)
    with pytest.raises(InputError, match="one row a pair; received {'ids': 14, 'images': 6"):
        wikipedia.load(original)


def test_the_real_features(shared_data):
    dataset = load_dataset(
        "wikipedia",
        shared_data / "wikipedia",
        image_features="img_pca128",
        text_features="txt_100",
    )
    assert [len(pairs) for _, pairs in dataset.splits()] == [2173, 231, 462]
    with np.load(shared_data / "wikipedia" / "wikipedia_2866.npz") as arrays:
        np.testing.assert_array_equal(dataset.test.images, arrays["img_pca128"][2404:])
        np.testing.assert_array_equal(dataset.validation.texts, arrays["txt_100"][2173:2404])
        np.testing.assert_array_equal(dataset.test.labels.argmax(1), arrays["label"][2404:])
    assert dataset.train.ids[0] == "b3150b0c281960b6a6d33407824fd40a-3"
