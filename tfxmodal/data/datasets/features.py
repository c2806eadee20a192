"""A folder of ready features: `train_img`, `train_txt`, `train_lab`, `validation_*`, `test_*`.

Each is a file `train_img.npy`, a file `train_img.mat` with one array of any name (the layout of the
field's published features; labels there are `train_img_lab.mat` and, optionally,
`train_txt_lab.mat`), or an array in an `.npz`. Features are `[n, dim]`; labels are class numbers
`[n]` of any base or one- or multi-hot `[n, classes]`, and may be absent. A row of -1 or NaN has no
label. `classes.txt` may name the classes, one a line, in the order of their numbers or columns.
float32 `.npy` files stay on disk, mapped into memory; the rest is converted in memory.

Training images and texts need not be paired, nor of one number: where `train_img_lab` and
`train_txt_lab` differ, they are two sets that only their classes relate (DRSL learns from such).

Where `test_queries` is there, 0 or 1 for each test row, the rows of 1 ask, and those of 0 are the
database that is searched for them (`tfxmodal.data.databases` has other ways).

Several captions of an image are rows of their own. Either the image's row is repeated for each, and
equal rows are then taken as one image; or `test_img` has each image once, and `test_cap_img` `[n]`
gives each row of `test_txt` the row of its image in `test_img`, from 0 (`train_cap_img` and
`validation_cap_img` likewise; the labels may then be the images').

Without `validation_*`, every tenth training image is validation (9, 19, ..., with all of its
captions; copied into memory): it repeats, it keeps the classes' shares in files sorted by class,
and it leaves the test rows alone.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfxmodal.data.class_names import FILE
from tfxmodal.data.datasets.feature_arrays import features_of, read_folder
from tfxmodal.data.datasets.feature_labels import labels_of, numbers, written
from tfxmodal.data.pairs import Dataset, Features, Pairs
from tfxmodal.data.repeated import TakenFeatures, rows_of_captions, with_image_ids
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_folder

LOG = logging.getLogger(__name__)
SPLITS = ("train", "validation", "test")
LABELS = ("lab", "img_lab", "txt_lab")
NAMES = {f"{split}_{kind}" for split in SPLITS for kind in ("img", "txt", "cap_img", *LABELS)}
QUERIES = "test_queries"


def load(data_dir: Path) -> Dataset:
    """Loads the splits.

    Raises:
        InputError: If an array is missing, damaged or not finite, or its shape does not fit the
            others'.
    """
    data_dir = Path(data_dir)
    arrays = read_folder(data_dir, NAMES | {QUERIES})
    names = [split for split in SPLITS if split != "validation" or "validation_img" in arrays]
    images = features_of(data_dir, arrays, names, "img")
    texts = features_of(data_dir, arrays, names, "txt")
    mapped = [name for name in names if f"{name}_cap_img" in arrays]
    for name in mapped:
        images[name] = _of_captions(data_dir, arrays, name, images[name], len(texts[name]))
    unpaired = "train" not in mapped and _unpaired(data_dir, arrays)
    of_pairs = [name for name in names if not (unpaired and name == "train")]
    for name in of_pairs:
        rows = len(images[name]), len(texts[name])
        if rows[0] != rows[1]:
            raise InputError(
                f"{name}_img and {name}_txt in {data_dir} have {rows[0]} and {rows[1]} rows: "
                f"write one row a pair, or give the row of each caption's image in {name}_cap_img "
                "(training sets that are not paired: give train_img_lab and train_txt_lab)."
            )
    given = {name: (len(images[name]), [f"{name}_{kind}" for kind in LABELS]) for name in of_pairs}
    if unpaired:
        given["train"] = len(images["train"]), ["train_img_lab"]
        given["train texts"] = len(texts["train"]), ["train_txt_lab"]
    labels, classes = labels_of(data_dir, arrays, given)
    splits = {}
    for name in names:
        ids = np.array([f"{name}/{row}" for row in range(len(images[name]))])
        text_labels = labels.get(f"{name} texts")
        pairs = Pairs(ids, images[name], texts[name], labels.get(name), text_labels)
        if isinstance(images[name], TakenFeatures):
            pairs = replace(pairs, image_ids=images[name].rows)
        elif name in of_pairs and name not in mapped:
            pairs = with_image_ids(pairs)
        splits[name] = pairs
    if QUERIES in arrays:
        test = splits["test"]
        splits["test"] = replace(test, queries=_queries(data_dir, arrays, len(test)))
    if unpaired and "validation" not in splits:
        raise InputError(
            f"{data_dir} lacks validation_img, and its training images and texts are not paired, "
            "so that none can be set aside as pairs: add validation_img, _txt and _lab."
        )
    if "validation" not in splits:
        train = splits["train"]
        _, image = np.unique(train.owners, return_inverse=True)
        splits["validation"] = train.take(np.flatnonzero(image % 10 == 9))
        splits["train"] = train.take(np.flatnonzero(image % 10 != 9))
    return Dataset("features", **splits, class_names=classes)


def save(dataset: Dataset, folder: Path, progress=None) -> None:
    """Writes a dataset of features as such a folder, in chunks; it appears whole or not at all.

    Args:
        dataset: Both modalities as features, in memory or on disk.
        folder: A folder that is new or empty.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the folder holds something, or cannot be written.
    """
    check_free(folder)
    arrays = {}
    for split, pairs in dataset.splits():
        arrays[f"{split}_img"] = pairs.images, np.float32
        arrays[f"{split}_txt"] = pairs.texts, np.float32
        if not pairs.paired:
            arrays[f"{split}_img_lab"] = written(pairs.labels)
            arrays[f"{split}_txt_lab"] = written(pairs.text_labels)
        else:
            # Without it, images that are not one and have equal rows would be taken for one.
            arrays[f"{split}_cap_img"] = pairs.owners, np.int64
            if pairs.labels is not None:
                arrays[f"{split}_lab"] = written(pairs.labels)
    if dataset.test.queries is not None:
        arrays[QUERIES] = dataset.test.queries, np.uint8
    progress = progress or (lambda items, **_: items)
    try:
        with whole_folder(folder) as partial:
            if dataset.class_names is not None:
                lines = "".join(f"{name}\n" for name in dataset.class_names)
                (partial / FILE).write_text(lines, "utf-8")
            for name, (rows, dtype) in progress(arrays.items(), desc="export"):
                _save_rows(partial / f"{name}.npy", rows, dtype)
    except OSError as error:
        raise InputError(f"Cannot write {folder} ({error}): make room or name another.") from error


def check_free(folder: Path) -> None:
    """Checks that `save` can make a folder.

    Raises:
        InputError: If it is there and not empty.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty: name a new folder.")


def _save_rows(path: Path, rows, dtype, chunk: int = 4096) -> None:
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": tuple(rows.shape)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), chunk):
            file.write(np.asarray(rows[start : start + chunk], dtype, order="C").data)


def _of_captions(
    data_dir: Path, arrays: dict, split: str, images: np.ndarray, captions: int
) -> Features:
    """The image of each caption; labels `[m]` of images become the captions', too.

    Where none is repeated, the images stay as they are, and on disk.
    """
    name = f"{split}_cap_img"
    rows = rows_of_captions(arrays[name], images, captions, f"{name} in {data_dir}")
    for kind in ("lab", "img_lab"):
        labels = arrays.get(f"{split}_{kind}", np.empty(0))
        labels = labels.reshape(-1) if labels.size == len(images) else labels
        if labels.shape[:1] == (len(images),) and len(images) != captions:
            arrays[f"{split}_{kind}"] = labels[rows]
    one_each = np.array_equal(rows, np.arange(len(images)))
    return images if one_each else TakenFeatures(images, rows)


def _unpaired(data_dir: Path, arrays: dict) -> bool:
    """Whether the training images and texts have labels of their own, which differ."""
    given = [arrays.get(f"train_{kind}_lab") for kind in ("img", "txt")]
    if any(labels is None for labels in given):
        return False
    images, texts = (np.squeeze(labels) for labels in given)  # MATLAB keeps vectors as columns.
    if np.array_equal(images, texts, equal_nan=images.dtype.kind == texts.dtype.kind == "f"):
        return False
    if images.shape == texts.shape:
        message = "train_img_lab and train_txt_lab in %s differ: images and texts are not pairs."
        LOG.warning(message, data_dir)
    return True


def _queries(data_dir: Path, arrays: dict, n: int) -> np.ndarray:
    """Which test rows ask, bool `[n]`."""
    asks = numbers(data_dir, QUERIES, arrays[QUERIES], n)
    if asks.ndim != 1 or not set(np.unique(asks)) <= {0, 1}:
        raise InputError(
            f"{QUERIES} in {data_dir} must be 0 or 1 for each of the {n} test rows; received "
            f"{asks.min()} to {asks.max()}, of shape {list(asks.shape)}: write it so."
        )
    return asks == 1
