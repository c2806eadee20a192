"""Dataset `pairs`: the user's own images and texts, listed in a manifest."""

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfxmodal.data.class_names import class_names, without_unlabelled
from tfxmodal.data.metadata import metadata_of
from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.data.rows import (
    QUERY,
    SPLITS,
    SUFFIXES,
    Row,
    error_at,
    is_manifest,
    is_table,
    read_rows,
)
from tfxmodal.data.tables import RowError
from tfxmodal.errors import InputError, choose

LOG = logging.getLogger(__name__)


def load(data_dir: Path, on_bad_row: str = "refuse") -> Dataset:
    """Loads the pairs of a manifest.

    It is a file of JSON lines (`.jsonl`), a list of JSON objects or Karpathy's `dataset_*.json`
    (`.json`), or a table whose first line names its columns (any other suffix; commas, semicolons,
    tabs or bars between the fields). A row tells of one image:

    - `image`: its path, relative to the manifest's folder, or to the one folder in it that holds
      the images. In JSON it is listed once; in a table, rows of the same image are one pair with
      several texts, with the labels of all of them, and with the first one's other columns (the
      rest may leave them empty).
    - `text`: its caption; in JSON, `texts` is a list of several. Empty ones are left out.
    - `id` (optional): a unique name of the pair; by default the image's path.
    - `labels` (optional): names of its classes, a list; in a table separated by `;`. -1 and NaN are
      no label.
    - `split` (optional): train, validation or test; by default drawn 80/10/10 by a hash of the id,
      so that a pair keeps its split when others are added. Where some pairs have the split query,
      these ask in the test split, and those of split test are the database, see `Pairs.queries`.

    Columns of other names are read where `tfxmodal.data.columns` knows what they mean, which is
    logged, as are all others: they are metadata, which an index keeps, see `data.metadata`.

    `classes.txt` beside the manifest, one name a line, gives the classes and their order; without
    it they are the labels found, sorted. Without any label the dataset has none.

    Args:
        data_dir: A manifest, or a folder with `pairs.jsonl`, or else `.csv`, `.tsv` or `.json`.
        on_bad_row: What to do with a pair that has no text or whose image file is missing:
            `refuse`, or `skip` and log how many.

    Raises:
        InputError: If the manifest is missing, malformed or leaves a split empty.
    """
    choose("on_bad_row", on_bad_row, ("refuse", "skip"))
    path = _find(Path(data_dir))
    rows = _good_rows(path, on_bad_row, "`dataset_options` on_bad_row=skip")
    try:
        classes, labels = _labels(path, rows)
    except RowError as error:
        raise error_at(path, error.line, str(error)) from error
    pairs = _pairs(rows, labels)
    split_of_row = np.array([row.split for row in rows], str)
    asks = split_of_row == QUERY
    split_of_row[asks] = "test"
    splits = {name: pairs.take(np.flatnonzero(split_of_row == name)) for name in SPLITS}
    if asks.any():
        queries = asks[split_of_row == "test"]
        splits["test"] = replace(splits["test"], queries=queries)
    for name, split in splits.items():
        if not len(split):
            raise InputError(
                f"{path} has no {name} pairs among its {len(rows)}: add some, or give the rows "
                "their `split`."
            )
    return Dataset("pairs", **splits, class_names=classes)


def load_pairs(data_dir: Path, on_bad_image: str = "refuse") -> tuple[Pairs, Mapping]:
    """Loads all pairs of a manifest, whatever their splits, without labels, and their metadata.

    Args:
        data_dir: See `load`.
        on_bad_image: `skip` leaves out pairs without a text or an image file, and logs how many.

    Returns:
        The pairs, and by column their values, see `data.metadata`.

    Raises:
        InputError: If the manifest is missing or malformed, or a pair is bad.
    """
    path = _find(Path(data_dir))
    rows = _good_rows(path, on_bad_image, "`on_bad_image` skip")
    return _pairs(rows), metadata_of(rows, is_table(path))


def _good_rows(path: Path, on_bad_row: str, remedy: str) -> list[Row]:
    rows = read_rows(path)
    bad = {row.line: fault for row in rows if (fault := _fault(row))}
    if bad:
        first = "; ".join(f"line {line} {fault}" for line, fault in list(bad.items())[:3])
        message = f"{len(bad)} of {len(rows)} pairs in {path} are bad ({first})"
        if on_bad_row == "refuse":
            raise InputError(f"{message}: correct them, or leave them out with {remedy}.")
        LOG.warning("%s: skipped.", message)
        rows = [row for row in rows if row.line not in bad]
    return rows


def _pairs(rows: list[Row], labels: np.ndarray | None = None) -> Pairs:
    return Pairs(
        np.array([row.id for row in rows], str),
        np.array([row.image for row in rows], str),
        [tuple(row.texts) for row in rows],
        labels,
    )


def _find(data_dir: Path) -> Path:
    if data_dir.is_file():
        return data_dir
    candidates = [data_dir / f"pairs{suffix}" for suffix in SUFFIXES]
    for path in candidates if not is_manifest(data_dir) else ():
        if path.is_file():
            return path
    raise InputError(
        f"No manifest at {data_dir}: give a .jsonl or .csv file, or a folder with pairs.jsonl or "
        "pairs.csv."
    )


def _fault(row: Row) -> str | None:
    if not row.texts:
        return "has no text"
    return None if os.path.isfile(row.image) else f"has no image file at {row.image}"


def _labels(path: Path, rows: list[Row]) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Class names and multi-hot labels `[n, classes]`, or None and None."""
    labels = without_unlabelled(path, {row.line: row.labels for row in rows})
    classes = class_names(path, labels, is_table(path))
    if classes is None:
        return None, None
    index = {name: column for column, name in enumerate(classes)}
    columns = [[index[name] for name in names] for names in labels.values()]
    return classes, multi_hot(columns, len(classes))
