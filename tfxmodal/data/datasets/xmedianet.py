"""PKU XMediaNet (Peng et al., IEEE TCSVT 2018): 40,000 images and as many texts, 200 classes.

Given by Peking University on request (www.icst.pku.edu.cn/mipl). The folder holds the lists that
the group's released code reads, `img_train_list.txt`, `txt_train_list.txt`, `img_test_list.txt` and
`txt_test_list.txt` (32,000 and 8,000 lines: a file and the number of its class, 1 to 200), and the
files themselves under `image/` and `text/`. The classes are named by the folders of the listed
images, as in `image/accordion/1.jpg`, and by their numbers where there are none. The release is not
public: file paths are taken as the lists spell them.

Images and texts were collected apart: no image has a text of its own. As in the group's code they
are paired by their order in the lists, here within each class, so that only the class is meant by a
pair, and class-level metrics are to be read, not R@K. Of each class the first half of the test
pairs is validation and the rest test: 32,000 / 4,000 / 4,000 as in DRSL (section 4.1.4), which does
not say which.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError
from tfxmodal.io.reading import path_array, read_lines, read_text, require_files

CLASSES = 200
REMEDY = "ask Peking University for the data (www.icst.pku.edu.cn/mipl) and unpack it there"


def load(data_dir: Path, progress=None) -> Dataset:
    """Loads the pairs.

    Args:
        data_dir: A folder as the module describes.
        progress: Wraps the reading of the texts, like tqdm.

    Raises:
        InputError: If files are missing, a list is damaged, or the lists disagree.
    """
    data_dir = Path(data_dir)
    names = [str(number) for number in range(1, CLASSES + 1)]
    splits = []
    for part in ("train", "test"):
        images, labels = _read_list(data_dir / f"img_{part}_list.txt")
        texts, text_labels = _read_list(data_dir / f"txt_{part}_list.txt")
        _check_counts(data_dir, part, labels, text_labels)
        for image, label in zip(images, labels, strict=True):
            names[label] = PurePosixPath(image).parent.name or names[label]
        images = images[np.argsort(labels, kind="stable")]
        texts = texts[np.argsort(text_labels, kind="stable")]
        splits.append(_pairs(data_dir, images, texts, np.sort(labels), progress))
    train, held_out = splits
    first = _first_halves(held_out.labels.argmax(axis=1))
    validation, test = (held_out.take(np.flatnonzero(rows)) for rows in (first, ~first))
    return Dataset("xmedianet", train, validation, test, class_names=tuple(names))


def _read_list(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Files `[n]` and their classes `[n]`, from 0."""
    files, labels = [], []
    for number, line in read_lines(path):
        file, _, label = line.strip().rpartition(" ")
        if not file or not label.isdecimal() or not 1 <= int(label) <= CLASSES:
            raise InputError(
                f"Line {number} of {path} must be a file and a class from 1 to {CLASSES}; received "
                f"{line!r}: unpack the list again."
            )
        files.append(file.replace("\\", "/"))
        labels.append(int(label) - 1)
    return np.array(files, np.str_), np.array(labels, int)


def _check_counts(data_dir: Path, part: str, labels: np.ndarray, text_labels: np.ndarray) -> None:
    images, texts = (np.bincount(of, minlength=CLASSES) for of in (labels, text_labels))
    wrong = np.flatnonzero(images != texts)
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"The {part} lists in {data_dir} have {images[first]} images and {texts[first]} texts "
            f"of class {first + 1}, which are to be paired: unpack both lists again."
        )


def _pairs(data_dir: Path, images, texts, labels, progress) -> Pairs:
    require_files("images", data_dir / "image", images, REMEDY)
    require_files("texts", data_dir / "text", texts, REMEDY)
    bar = progress(texts, total=len(texts), desc="reading texts") if progress else texts
    captions = [
        (" ".join(read_text(data_dir / "text" / text, errors="replace").split()),) for text in bar
    ]
    return Pairs(
        np.array([str(PurePosixPath(image).with_suffix("")) for image in images], np.str_),
        path_array([data_dir / "image" / image for image in images]),
        captions,
        multi_hot(labels[:, None], CLASSES),
    )


def _first_halves(labels: np.ndarray) -> np.ndarray:
    """Whether each row is in the first half of its class, for labels in ascending order."""
    starts = np.searchsorted(labels, labels)
    ends = np.searchsorted(labels, labels, side="right")
    return np.arange(len(labels)) - starts < (ends - starts) // 2
