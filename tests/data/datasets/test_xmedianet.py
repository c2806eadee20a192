import numpy as np
import pytest

from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import xmedianet
from tfxmodal.errors import InputError

NAMES = {1: "accordion", 2: "airplane", 200: "zebra"}
COUNTS = {"train": 4, "test": 5}


@pytest.fixture
def folder(tmp_path):
    """Three classes of 4 training and 5 test images and texts; the lists are in no class order."""
    for part, count in COUNTS.items():
        for kind, ending in (("img", "jpg"), ("txt", "txt")):
            files = [
                (f"{NAMES[label]}/{part}{n}.{ending}", label)
                for n in range(count)
                for label in (NAMES if kind == "img" else reversed(NAMES))
            ]
            lines = "".join(f"{name} {label}\n" for name, label in files)
            (tmp_path / f"{kind}_{part}_list.txt").write_text(lines)
            for name, _ in files:
                path = tmp_path / {"img": "image", "txt": "text"}[kind] / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"About\n{name}" if kind == "txt" else "")
    return tmp_path


def test_pairs_within_the_class_and_halves_of_the_test_lists(folder):
    dataset = load_dataset("xmedianet", folder)
    assert [len(pairs) for _, pairs in dataset.splits()] == [12, 6, 9]
    assert len(dataset.class_names) == 200
    rows = {"train": ["train0"], "validation": ["test0", "test1"], "test": ["test2"]}
    for split, pairs in dataset.splits():
        for row, identifier in enumerate(pairs.ids):
            assert pairs.images[row] == str(folder / "image" / f"{identifier}.jpg")
            assert pairs.texts[row] == (f"About {identifier}.txt",)
            name = dataset.class_names[pairs.labels[row].argmax()]
            assert identifier.startswith(f"{name}/")
        for label in NAMES:
            own = pairs.ids[pairs.labels[:, label - 1] == 1]
            assert [path.split("/")[1] for path in own][: len(rows[split])] == rows[split]
    np.testing.assert_array_equal(dataset.train.labels.sum(0)[[0, 1, 199]], 4)
    assert dataset.class_names[:3] == ("accordion", "airplane", "3")


def test_progress_is_shown_for_the_texts(folder):
    seen = []

    def progress(items, total, desc):
        seen.append((total, desc))
        return items

    xmedianet.load(folder, progress)
    assert seen == [(12, "reading texts"), (15, "reading texts")]


def test_lists_that_disagree(folder):
    path = folder / "txt_train_list.txt"
    path.write_text(path.read_text().replace("airplane/train0.txt 2", "airplane/train0.txt 1"))
    with pytest.raises(InputError, match="train lists .* 4 images and 5 texts of class 1,"):
        xmedianet.load(folder)


@pytest.mark.parametrize("line", ["a/1.jpg 201", "a/1.jpg 0", "a/1.jpg", "1", "a/1.jpg x"])
def test_damaged_lists(folder, line):
    path = folder / "img_test_list.txt"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(InputError, match=f"Line 16 of .* class from 1 to 200; received '{line}'"):
        xmedianet.load(folder)


def test_missing_files(folder, tmp_path_factory):
    with pytest.raises(InputError, match="Cannot read .*img_train_list.txt"):
        xmedianet.load(tmp_path_factory.mktemp("empty"))
    (folder / "text" / "zebra" / "test3.txt").unlink()
    with pytest.raises(InputError, match=r"text lacks 1 texts \(zebra/test3.txt\): ask Peking"):
        xmedianet.load(folder)
    (folder / "image" / "zebra" / "test4.jpg").unlink()
    with pytest.raises(InputError, match=r"image lacks 1 images \(zebra/test4.jpg\)"):
        xmedianet.load(folder)
