"""Wikipedia feature articles (Rasiwasia et al., ACM MM 2010): 2,866 pairs, 10 classes.

What the folder may hold, alone or together:

* the original distribution: `trainset_txt_img_cat.list` and `testset_txt_img_cat.list` (text name,
  image name and class of each pair), `raw_features.mat` (`I_tr`, `T_tr`, `I_te`, `T_te`: 128 SIFT
  visual words, 10 LDA topics), `texts/*.xml` and `images/CLASS/*.jpg`;
* `wikipedia_2866.npz`: the same rows in the same order with stronger features: `label`, `n_train`
  and any columns named `img_*` and `txt_*`.

The first third of the test rows is validation, the rest test: 2,173 / 231 / 462 pairs as in SCL's
paper (section IV-A), in the order of its released code.
"""

import re
from html import unescape
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError, choose
from tfxmodal.io.reading import missing_files, path_array, read_arrays, read_lines, read_text

CLASSES = (
    *("art", "biology", "geography", "history", "literature"),
    *("media", "music", "royalty", "sport", "warfare"),
)


def load(
    data_dir: Path, image_features: str | None = None, text_features: str | None = None
) -> Dataset:
    """Loads the pairs with the features asked for.

    Args:
        data_dir: A folder as the module describes.
        image_features: `img_pca128`, `img_sift128` or another column of the npz, or `raw` for the
            image files; by default the first of these that the folder holds.
        text_features: `txt_100`, `txt_lda10` or another column, or `raw` for the articles;
            likewise.

    Raises:
        InputError: If files are missing, damaged or disagree, or the folder lacks such features.
    """
    data_dir = Path(data_dir)
    listed, columns = _read_lists(data_dir), _read_features(data_dir)
    if listed and not np.array_equal(listed["label"], columns.get("label", listed["label"])):
        raise InputError(
            f"The lists and the npz in {data_dir} give different labels: fetch both again."
        )
    columns |= listed
    if "label" not in columns:
        raise InputError(
            f"{data_dir} holds no Wikipedia data: give the folder with trainset_txt_img_cat.list "
            "and testset_txt_img_cat.list, or with wikipedia_2866.npz, as `data_dir`."
        )
    images = _choose("image_features", image_features, "img_", columns, data_dir / "images")
    texts = _choose("text_features", text_features, "txt_", columns, data_dir / "texts")
    n, n_train = len(columns["label"]), int(columns["n_train"])
    pairs = Pairs(
        columns["text"] if listed else np.arange(n).astype(str),
        _image_files(data_dir / "images", columns) if images == "raw" else columns[images],
        _articles(data_dir / "texts", columns) if texts == "raw" else columns[texts],
        multi_hot(columns["label"][:, None], len(CLASSES)),
    )
    splits = np.split(np.arange(n), [n_train, n_train + (n - n_train) // 3])
    return Dataset("wikipedia", *map(pairs.take, splits), class_names=CLASSES)


def _choose(argument: str, name: str | None, prefix: str, columns: dict, folder: Path) -> str:
    """The features asked for, or the first there are."""
    names = [column for column in columns if column.startswith(prefix)]
    if "text" in columns and folder.is_dir():  # The lists are there to name the files.
        names.append("raw")
    if not names:
        raise InputError(
            f"{folder.parent} has neither {prefix}* features nor the lists with {folder.name}/: "
            "add the npz, raw_features.mat or the unpacked distribution."
        )
    name = name or names[0]
    choose(argument, name, names)
    return name


def _read_lists(data_dir: Path) -> dict:
    """Names, labels and the number of training rows, or nothing where there are no lists."""
    paths = [data_dir / f"{split}set_txt_img_cat.list" for split in ("train", "test")]
    if not any(path.exists() for path in paths):
        return {}
    splits = [[(number, line.split()) for number, line in read_lines(path)] for path in paths]
    classes = {str(number) for number in range(1, len(CLASSES) + 1)}
    for path, rows in zip(paths, splits, strict=True):
        for number, row in rows or [(1, [])]:
            if len(row) != 3 or row[2] not in classes:
                raise InputError(
                    f"Line {number} of {path} must be a text name, an image name and a class from "
                    f"1 to {len(CLASSES)}; received {' '.join(row)!r}: download the list again."
                )
    texts, images, classes = np.array([row for rows in splits for _, row in rows]).T
    label = classes.astype(int) - 1
    return {"text": texts, "image": images, "label": label, "n_train": len(splits[0])}


def _read_features(data_dir: Path) -> dict[str, np.ndarray]:
    """Feature columns of the npz and the mat file, and the npz's `label` and `n_train`."""
    npz, mat = data_dir / "wikipedia_2866.npz", data_dir / "raw_features.mat"
    columns = read_arrays(npz) if npz.exists() else {}
    if columns and not {"label", "n_train"} <= columns.keys():
        raise InputError(
            f"{npz} must hold label and n_train; received {', '.join(columns)}: fetch it again."
        )
    if mat.exists():
        arrays = read_arrays(mat)
        for column, letter in (("img_sift128", "I"), ("txt_lda10", "T")):
            if not {f"{letter}_tr", f"{letter}_te"} <= arrays.keys():
                raise InputError(f"{mat} must hold {letter}_tr and {letter}_te: download it again.")
            features = np.concatenate([arrays[f"{letter}_tr"], arrays[f"{letter}_te"]])
            columns.setdefault(column, features.astype(np.float32))
    return columns


def _image_files(folder: Path, columns: dict) -> np.ndarray:
    found = {path.stem: path for path in folder.rglob("*.jp*g")}
    missing = [name for name in columns["image"] if name not in found]
    if missing:
        raise missing_files("images", folder, missing, "unpack the distribution again")
    return path_array([found[name] for name in columns["image"]])


def _articles(folder: Path, columns: dict) -> list[tuple[str, ...]]:
    """The `<text>` of each article; the files are not always well-formed XML."""
    articles = []
    for name in columns["text"]:
        path = folder / f"{name}.xml"
        text = re.search(r"<text>(.*?)</text>", read_text(path), re.DOTALL)
        if not text:
            raise InputError(f"{path} has no <text> section: unpack the distribution again.")
        articles.append((" ".join(unescape(text[1]).split()),))
    return articles
