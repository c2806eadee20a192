"""Where pairs come from: one data type, one file a dataset, images, text, cached features.

A new dataset is one file with `load(data_dir, **options) -> Dataset` and one line in `DATASETS`.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfxmodal.data import manifest
from tfxmodal.data.databases import DATABASES, with_database
from tfxmodal.data.dataset_card import read_card
from tfxmodal.data.datasets import (
    coco,
    emoji_scenes,
    features,
    flickr8k,
    mirflickr,
    nus_wide_10k,
    pascal_sentences,
    wikipedia,
    xmedianet,
)
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.errors import InputError, choose

DATASETS: dict[str, Callable[..., Dataset]] = {
    "coco": coco.load,
    "wikipedia": wikipedia.load,
    "pascal_sentences": pascal_sentences.load,
    "flickr8k": flickr8k.load,
    "nus_wide_10k": nus_wide_10k.load,
    "xmedianet": xmedianet.load,
    "mirflickr": mirflickr.load,
    "features": features.load,
    "pairs": manifest.load,
    "emoji_scenes": emoji_scenes.load,
}


MADE_HERE = ("emoji_scenes",)
"""Datasets whose folder need not be there."""


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    progress=None,
    database: str = "test",
    **options,
) -> Dataset:
    """Loads a dataset by its name, and `card.yaml` beside it where there is one.

    Args:
        name: One of `DATASETS`.
        data_dir: Its folder; by default `data/NAME` under the current one.
        progress: Wraps long work, like tqdm, where the dataset has any.
        database: What the test pairs are searched among: `test` (each other), `train` or `rest`
            (train and validation); see `tfxmodal.data.databases`.
        **options: What that dataset's own `load` takes besides.

    Raises:
        InputError: If the name or an option is unknown, the folder is not there or does not hold
            the dataset, an image file is in two splits, or its card is malformed.
    """
    choose("dataset", name, DATASETS)
    choose("database", database, DATABASES)
    load = DATASETS[name]
    parameters = inspect.signature(load).parameters
    for option in options:
        known = parameters.keys() - {"data_dir", "progress"} | {"database"}
        choose(f"option of dataset {name}", option, known)
    given = options | ({} if database == "test" else {"database": database})
    given.pop("download", None)
    written = tuple(f"{name}={_written(value)}" for name, value in given.items())
    if "progress" in parameters:
        options["progress"] = progress
    if data_dir is not None and name not in MADE_HERE and not options.get("download"):
        _check_place(name, Path(data_dir))
    place = Path("data") / name if data_dir is None else Path(data_dir)
    card = read_card(place.parent if place.is_file() else place)
    dataset = replace(load(place, **options), options=written)
    if data_dir is not None:
        dataset = replace(dataset, data_dir=place)
    if card:
        dataset = replace(dataset, card=card)
    _check_apart(dataset)
    return with_database(dataset, database)


def _written(value) -> str:
    """An option's value as `dataset_options` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_place(name: str, data_dir: Path) -> None:
    """Checks that what the user names is there, before a loader misses single files in it."""
    if not data_dir.exists():
        raise InputError(
            f"`data_dir` {data_dir} is not there (relative paths start at {Path.cwd()}): correct "
            "it, or give the whole path."
        )
    if data_dir.is_file() and name != "pairs":
        raise InputError(
            f"`data_dir` {data_dir} is a file, and {name} is a folder: give {data_dir.parent}."
        )


def _check_apart(dataset: Dataset) -> None:
    """Checks that no image file is in two splits: a test on training images says nothing."""
    split_of: dict[str, str] = {}
    for name, pairs in dataset.splits():
        for image in map(str, np.asarray(pairs.images)) if pairs.has_image_files else ():
            other = split_of.setdefault(image, name)
            if other != name:
                raise InputError(
                    f"{image} is in the {other} and the {name} split of {dataset.name}: take it "
                    "out of one of their lists."
                )


__all__ = ["DATASETS", "Dataset", "Pairs", "load_dataset"]
