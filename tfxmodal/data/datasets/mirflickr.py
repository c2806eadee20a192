"""MIRFLICKR-25000 (Huiskes and Lew, MIR 2008): Flickr photos with tags, 24 labels.

The folder holds what the official archives unpack to (press.liacs.nl/mirflickr):

* `mirflickr/im1.jpg` to `im25000.jpg`, `mirflickr/meta/tags/tags1.txt` (a tag a line) and
  `mirflickr/doc/common_tags.txt` (the 1,386 tags of at least 20 photos, with their counts);
* `mirflickr25k_annotations_v080/LABEL.txt`: the numbers of the photos where a label is potentially
  present. The stricter `LABEL_r1.txt` of 14 labels are not used, as is the field's custom.

A text is the photo's common tags in one line. Photos without a label or without a common tag are
left out, which leaves the field's 20,015 pairs.

SCL trains on this set (its table IV) and does not say how it is split. Of the pairs drawn with a
fixed seed the first 2,000 are test, as many as the field holds out as queries, and the next 2,000
validation; the rest train. A set of fewer than 20,000 pairs gives a tenth to each.

By default the test pairs are ranked among each other. The field's protocol, 2,000 queries against
the 18,015 other pairs, is `--dataset-options database=rest` (see `tfxmodal.data.databases`).
"""

from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError
from tfxmodal.io.reading import path_array, read_lines, read_text, require_files

CLASSES = (
    *("animals", "baby", "bird", "car", "clouds", "dog", "female", "flower"),
    *("food", "indoor", "lake", "male", "night", "people", "plant_life", "portrait"),
    *("river", "sea", "sky", "structures", "sunset", "transport", "tree", "water"),
)
HELD_OUT = 2000
REMEDY = "unpack mirflickr25k.zip of press.liacs.nl/mirflickr there"


def load(data_dir: Path) -> Dataset:
    """Loads the pairs.

    Raises:
        InputError: If files are missing or damaged, or no photo has a label and a common tag.
    """
    data_dir = Path(data_dir)
    labels = _read_labels(data_dir / "mirflickr25k_annotations_v080")
    texts = _read_texts(data_dir / "mirflickr", sorted(labels))
    if not texts:
        raise InputError(
            f"No photo in {data_dir} has both a label and a tag of common_tags.txt: unpack the "
            "archives again."
        )
    names = [f"im{photo}.jpg" for photo in texts]
    require_files("photos", data_dir / "mirflickr", names, REMEDY)
    pairs = Pairs(
        np.array([f"im{photo}" for photo in texts]),
        path_array([data_dir / "mirflickr" / name for name in names]),
        [(text,) for text in texts.values()],
        multi_hot([labels[photo] for photo in texts], len(CLASSES)),
    )
    rows = np.random.RandomState(0).permutation(len(pairs))  # A stream that is never to change.
    held_out = min(HELD_OUT, len(pairs) // 10)
    test, validation, train = np.split(rows, [held_out, 2 * held_out])
    splits = [pairs.take(np.sort(part)) for part in (train, validation, test)]
    return Dataset("mirflickr", *splits, class_names=CLASSES)


def _read_labels(folder: Path) -> dict[int, list[int]]:
    """The columns of the labels of each photo that has any."""
    labels = {}
    for column, name in enumerate(CLASSES):
        path = folder / f"{name}.txt"
        for number in read_text(path).split():
            if not number.isdecimal():
                raise InputError(
                    f"{path} must hold the number of a photo a line; received {number!r}: unpack "
                    "the annotations again."
                )
            labels.setdefault(int(number), []).append(column)
    return labels


def _read_texts(folder: Path, photos: list[int]) -> dict[int, str]:
    """The common tags of each photo that has any, in one line."""
    lines = read_lines(folder / "doc" / "common_tags.txt", errors="replace")
    common = {line.split()[0] for _, line in lines}
    tags = folder / "meta" / "tags"
    require_files("tags of photos", tags, [f"tags{photo}.txt" for photo in photos], REMEDY)
    texts = {}
    for photo in photos:
        words = read_text(tags / f"tags{photo}.txt", errors="replace").split()
        if text := " ".join(word for word in words if word in common):
            texts[photo] = text
    return texts
