"""Where pairs come from: one data type, one file a dataset, images, text, cached features.

A new dataset is one file with `load(data_dir, **options) -> Dataset` and one line in `DATASETS`.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

from tfxmodal.data import manifest
from tfxmodal.data.databases import DATABASES, with_database
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
from tfxmodal.errors import choose

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


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    progress=None,
    database: str = "test",
    **options,
) -> Dataset:
    """Loads a dataset by its name.

    Args:
        name: One of `DATASETS`.
        data_dir: Its folder; by default `data/NAME` under the current one.
        progress: Wraps long work, like tqdm, where the dataset has any.
        database: What the test pairs are searched among: `test` (each other), `train` or `rest`
            (train and validation); see `tfxmodal.data.databases`.
        **options: What that dataset's own `load` takes besides.

    Raises:
        InputError: If the name or an option is unknown or the folder does not hold the dataset.
    """
    choose("dataset", name, DATASETS)
    choose("database", database, DATABASES)
    load = DATASETS[name]
    parameters = inspect.signature(load).parameters
    for option in options:
        known = parameters.keys() - {"data_dir", "progress"} | {"database"}
        choose(f"option of dataset {name}", option, known)
    if "progress" in parameters:
        options["progress"] = progress
    data_dir = Path("data") / name if data_dir is None else Path(data_dir)
    return with_database(load(data_dir, **options), database)


__all__ = ["DATASETS", "Dataset", "Pairs", "load_dataset"]
