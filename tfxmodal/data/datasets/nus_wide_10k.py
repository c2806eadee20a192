r"""NUS-WIDE-10K (Feng et al., ACM MM 2014): 10,000 Flickr photos with their tags, 10 classes.

A subset of NUS-WIDE (Chua et al., CIVR 2009; 269,648 photos, 81 concepts). The folder holds what
the official archives unpack to, and the photos, which NUS gives on request:

* `ImageList/Imagelist.txt`: a photo a line, such as `actor\0001_2124494179.jpg`; the number after
  the underscore is Flickr's;
* `NUS_WID_Tags/All_Tags.txt`: that number and the photo's tags a line, in the same order;
* `Groundtruth/AllLabels/Labels_CONCEPT.txt`: 0 or 1 a line, in the same order;
* `Flickr/actor/0001_2124494179.jpg`: the photos.

The lists of the 10,000 photos are their authors' and no part of NUS-WIDE. Whoever has them gives
them as `train.list`, `validation.list` and `test.list` in the folder, a photo as in `Imagelist.txt`
and its class a line; the labels are then not read. Otherwise the choice is made as the papers
describe it (DRSL section 4.1.3, SCL section IV-A): 1,000 photos evenly of each of ten classes, here
of those that have tags and belong to no other of the ten, drawn with a fixed seed whatever photos
are there, and split 800 / 100 / 100. The ten classes are those that copies of the subset name.

A text is the photo's tags in one line; SCL's bag of 1,000 words comes by `--vocabulary-size 1000`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError, choose
from tfxmodal.io.reading import path_array, read_lines, read_text, require_files

CLASSES = (
    *("animal", "clouds", "flowers", "food", "grass"),
    *("person", "sky", "toy", "water", "window"),
)
SPLITS = ("train", "validation", "test")
PER_CLASS = (800, 100, 100)


def load(data_dir: Path) -> Dataset:
    """Loads the pairs.

    Raises:
        InputError: If files or photos are missing, or the files disagree.
    """
    data_dir = Path(data_dir)
    path = data_dir / "ImageList" / "Imagelist.txt"
    names = [line.strip().replace("\\", "/") for _, line in read_lines(path)]
    tags = _read_tags(data_dir / "NUS_WID_Tags" / "All_Tags.txt", names)
    if any((data_dir / f"{split}.list").exists() for split in SPLITS):
        row_of = {name: row for row, name in enumerate(names)}
        splits = [_read_list(data_dir / f"{split}.list", row_of) for split in SPLITS]
    else:
        splits = _draw(data_dir / "Groundtruth" / "AllLabels", np.array([bool(t) for t in tags]))
    chosen = [names[row] for rows, _ in splits for row in rows]
    remedy = "ask NUS for the photos (NExT++ research centre) and unpack them there"
    require_files("photos", data_dir / "Flickr", chosen, remedy)
    pairs = [
        Pairs(
            np.array([names[row].removesuffix(".jpg") for row in rows], np.str_),
            path_array([data_dir / "Flickr" / names[row] for row in rows]),
            [(tags[row],) for row in rows],
            multi_hot(labels[:, None], len(CLASSES)),
        )
        for rows, labels in splits
    ]
    return Dataset("nus_wide_10k", *pairs, class_names=CLASSES)


def _read_tags(path: Path, names: Sequence[str]) -> list[str]:
    """The tags of each photo in one line, which may be empty."""
    lines = read_lines(path, errors="replace")
    _check_rows(path, len(lines), len(names))
    tags = []
    for (number, line), name in zip(lines, names, strict=True):
        photo, *words = line.split()
        if not name.endswith(f"_{photo}.jpg"):
            raise InputError(
                f"Line {number} of {path} is of photo {photo!r}, that of Imagelist.txt of {name}: "
                "unpack both archives again."
            )
        tags.append(" ".join(words))
    return tags


def _draw(folder: Path, tagged: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each split, rows of `Imagelist.txt` and their classes.

    Args:
        folder: Of the labels.
        tagged: `[n]`, whether a photo has tags.
    """
    labels = np.stack(
        [_read_labels(folder / f"Labels_{name}.txt", len(tagged)) for name in CLASSES]
    )
    alone = tagged & (labels.sum(axis=0) == 1)
    rng = np.random.RandomState(0)  # Unlike newer generators, promised never to change.
    parts = []
    for name, of_class in zip(CLASSES, labels, strict=True):
        rows = rng.permutation(np.flatnonzero(alone & of_class))[: sum(PER_CLASS)]
        if len(rows) < sum(PER_CLASS):
            raise InputError(
                f"{folder} has {len(rows):,} photos with tags of class {name} alone instead of at "
                f"least {sum(PER_CLASS):,}: unpack the whole Groundtruth archive."
            )
        parts.append(np.split(rows, np.cumsum(PER_CLASS[:-1])))
    return [
        (np.concatenate(rows), np.repeat(np.arange(len(CLASSES)), len(rows[0])))
        for rows in zip(*parts, strict=True)
    ]


def _read_labels(path: Path, n: int) -> np.ndarray:
    values = read_text(path).split()
    _check_rows(path, len(values), n)
    if not set(values) <= {"0", "1"}:
        wrong = next(value for value in values if value not in ("0", "1"))
        raise InputError(f"{path} must hold 0 or 1 a line; received {wrong!r}: unpack it again.")
    return np.array(values) == "1"


def _check_rows(path: Path, rows: int, n: int) -> None:
    if rows != n:
        raise InputError(
            f"{path} has {rows:,} lines and Imagelist.txt {n:,}: unpack both archives again."
        )


def _read_list(path: Path, row_of: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `Imagelist.txt` and classes of the photos that a list names."""
    rows, labels = [], []
    for number, line in read_lines(path):
        name, label = [*line.replace("\\", "/").rsplit(maxsplit=1), "", ""][:2]
        if name not in row_of:
            raise InputError(
                f"Line {number} of {path} must be a photo of Imagelist.txt and its class; received "
                f"{line!r}: correct the list."
            )
        choose(f"class in line {number} of {path}", label, CLASSES)
        rows.append(row_of[name])
        labels.append(CLASSES.index(label))
    return np.array(rows, int), np.array(labels, int)
