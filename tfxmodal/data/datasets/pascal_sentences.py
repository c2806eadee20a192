"""UIUC Pascal Sentences (Rashtchian et al., 2010): 1,000 photos, 20 classes, five captions each.

The folder holds `pascal_sentences.json` (`{photo: {"category": ..., "captions": [...]}}`) and
`images/`. Pairs whose photo is absent are left out: the original site is gone, and copies differ.

Of each class, in the order of the file, the last tenth is test, the tenth before it validation and
the rest train: 40 / 5 / 5 of 50, and 800 / 100 / 100 in all, as the field splits it. The papers'
own choice of rows is not published. Tenths are rounded half up, so a class of fewer than five
photos is all train.
"""

from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError
from tfxmodal.io.reading import file_names, path_array, read_json


def load(data_dir: Path) -> Dataset:
    """Loads the pairs whose photo is there.

    Raises:
        InputError: If the JSON is missing or not as described, or no photo is there.
    """
    data_dir = Path(data_dir)
    path = data_dir / "pascal_sentences.json"
    table = read_json(path)
    try:
        rows = [
            (name, item["category"], tuple(filter(None, map(str.strip, item["captions"]))))
            for name, item in table.items()
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} must map each photo to its category and captions; received something else "
            f"({error!r}): fetch it again."
        ) from error
    present = file_names(data_dir / "images")
    # The classes are those of all photos, present or not: one meaning of a column everywhere.
    classes = sorted({category for _, category, _ in rows})
    rows = [row for row in rows if row[0] in present and row[2]]
    if not rows:
        raise InputError(
            f"{data_dir / 'images'} holds none of the photos in {path.name}: put them there."
        )
    names, categories, captions = zip(*rows, strict=True)
    labels = np.array([classes.index(category) for category in categories])
    pairs = Pairs(
        np.array([Path(name).stem for name in names]),
        path_array([data_dir / "images" / name for name in names]),
        captions,
        multi_hot(labels[:, None], len(classes)),
    )
    splits = map(pairs.take, _split(labels))
    return Dataset("pascal_sentences", *splits, class_names=tuple(classes))


def _split(labels: np.ndarray) -> list[np.ndarray]:
    """Rows of train, validation and test, each in the order of the file."""
    split = np.zeros(len(labels), int)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        held = (len(rows) + 5) // 10
        split[rows[len(rows) - 2 * held : len(rows) - held]] = 1
        split[rows[len(rows) - held :]] = 2
    return [np.flatnonzero(split == part) for part in range(3)]
