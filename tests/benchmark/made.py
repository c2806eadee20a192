"""A small dataset of ready features on disk, and grids of quick methods on it."""

from pathlib import Path

import numpy as np

from tests.training.tiny import make_pairs
from tfxmodal.benchmark.grid import Grid


def write_features(folder: Path, labels: bool = True) -> Path:
    """The three splits as files."""
    folder.mkdir(parents=True)
    for n, split in ((48, "train"), (24, "validation"), (23, "test")):
        pairs = make_pairs(n, seed=n)
        columns = {"img": pairs.images, "txt": pairs.texts}
        for kind, rows in (columns | ({"lab": pairs.labels} if labels else {})).items():
            np.save(folder / f"{split}_{kind}.npy", rows)
    return folder


def grid(folder: Path, *methods: str, **given) -> Grid:
    """Methods on the features in `folder`, seed 0."""
    datasets = (f"features={folder}",)
    return Grid(methods=methods, datasets=datasets, cache_dir=folder / "cache", **given)
