"""Dataset `pairs`: the user's own images and texts, listed in a JSON-lines or CSV manifest."""

import csv
import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError, choose
from tfxmodal.io.reading import as_on_disk

SPLITS = ("train", "validation", "test")
QUERY = "query"
"""The `split` of test pairs that ask, where those of split `test` are the database."""
SUFFIXES = (".jsonl", ".csv")


@dataclass
class Row:
    """One pair as its manifest tells it; `image` is a path from here."""

    line: int
    id: str
    image: str
    texts: list[str]
    labels: list[str]
    split: str


def load(data_dir: Path, on_bad_row: str = "refuse") -> Dataset:
    """Loads the pairs of a manifest.

    A row tells of one image:

    - `image`: its path, relative to the manifest's folder. It is listed once; in CSV, though, rows
      of the same image are one pair with several texts, whose other columns are read from the first
      (the rest may leave them empty).
    - `text`: its caption; in JSON lines, `texts` is a list of several. Empty ones are left out.
    - `id` (optional): a unique name of the pair; by default the image's path.
    - `labels` (optional): names of its classes, a list; in CSV separated by `;`.
    - `split` (optional): train, validation or test; by default drawn 80/10/10 by a hash of the id,
      so that a pair keeps its split when others are added. Where some pairs have the split query,
      these ask in the test split, and those of split test are the database, see `Pairs.queries`.

    `classes.txt` beside the manifest, one name a line, gives the classes and their order; without
    it they are the labels found, sorted. Without any label the dataset has none.

    Args:
        data_dir: A `.jsonl` or `.csv` file, or a folder with `pairs.jsonl` or else `pairs.csv`.
        on_bad_row: What to do with a pair that has no text or whose image file is missing:
            `refuse`, or `skip` and log how many.

    Raises:
        InputError: If the manifest is missing, malformed or leaves a split empty.
    """
    choose("on_bad_row", on_bad_row, ("refuse", "skip"))
    path = _find(Path(data_dir))
    rows = _good_rows(path, on_bad_row)
    classes, labels = _labels(path, rows)
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


def load_pairs(data_dir: Path) -> Pairs:
    """Loads all pairs of a manifest, whatever their splits, without labels.

    Raises:
        InputError: If the manifest is missing or malformed, or a pair is bad.
    """
    return _pairs(_good_rows(_find(Path(data_dir)), "refuse"))


def _good_rows(path: Path, on_bad_row: str) -> list[Row]:
    rows = read_rows(path)
    bad = {row.line: fault for row in rows if (fault := _fault(row))}
    if bad:
        first = "; ".join(f"line {line} {fault}" for line, fault in list(bad.items())[:3])
        message = f"{len(bad)} of {len(rows)} pairs in {path} are bad ({first})"
        if on_bad_row == "refuse":
            raise InputError(
                f"{message}: correct them, or leave them out with "
                "`--dataset-options on_bad_row=skip`."
            )
        logging.getLogger(__name__).warning("%s: skipped.", message)
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
    candidates = [data_dir / f"pairs{suffix}" for suffix in SUFFIXES]
    if data_dir.suffix in SUFFIXES:
        candidates = [data_dir]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(
        f"No manifest at {data_dir}: give a .jsonl or .csv file, or a folder with pairs.jsonl or "
        "pairs.csv."
    )


def read_rows(path: Path) -> list[Row]:
    """A manifest's pairs, one row an image, in its order; see `load` for its columns.

    Args:
        path: The `.jsonl` or `.csv` file.

    Raises:
        InputError: If it cannot be read or is malformed, or a pair is there twice.
    """
    is_csv = path.suffix == ".csv"
    by_image, by_id = {}, {}
    for line, fields in _read_csv(path) if is_csv else _read_jsonl(path):
        row = _row(path, line, fields)
        first = by_image.setdefault(row.image, row)
        if first is row:
            if by_id.setdefault(row.id, row) is not row:
                again = f"repeats the id {row.id!r} of line {by_id[row.id].line}"
                raise _error(path, line, f"{again}: give each pair its own")
        elif is_csv and all(
            fields.get(c) in (None, "", getattr(first, c)) for c in ("id", "split")
        ):
            first.texts += row.texts
        else:
            again = f"lists {row.image} again after line {first.line}"
            remedy = "repeat its id and split" if is_csv else "give all its `texts` in one line"
            raise _error(path, line, f"{again}: {remedy}")
    if not by_image:
        raise InputError(f"{path} is empty: list at least one pair for each split.")
    return list(by_image.values())


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict]]:
    # str.splitlines would also split at the exotic line ends that JSON strings may hold.
    for line, text in enumerate(_read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise _error(path, line, f"is no JSON ({error}): write one object a line") from None
        if not isinstance(fields, dict):
            raise _error(path, line, f"is {text[:40]!r}: write a JSON object")
        if "text" in fields:
            fields.setdefault("texts", [fields["text"]])
        yield line, fields


def _read_csv(path: Path) -> Iterator[tuple[int, dict]]:
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""), strict=True)
    try:
        for fields in reader:
            if None in fields:
                what = "has more fields than the header: quote texts that hold commas"
                raise _error(path, reader.line_num, what)
            labels = (fields.get("labels") or "").split(";")
            fields["labels"] = [name.strip() for name in labels if name.strip()]
            if fields.get("text") is not None:
                fields["texts"] = [fields["text"]]
            yield reader.line_num, fields
    except csv.Error as error:
        raise _error(path, reader.reader.line_num, f"is no CSV ({error}): correct it") from None


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): correct its path.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(path, line, "is not UTF-8: save the file in that encoding") from None


def _row(path: Path, line: int, fields: dict) -> Row:
    """Checks a row's fields and fills in the defaults."""
    for column, known_as in (("image", "image"), ("texts", "text")):
        if fields.get(column) is None:
            raise _error(path, line, f"has no `{known_as}`: add that column")
    texts, labels = fields["texts"], fields.get("labels") or []
    for column, strings in (("text", texts), ("labels", labels)):
        if not isinstance(strings, list) or not all(isinstance(s, str) for s in strings):
            raise _error(path, line, f"has `{column}` {strings!r}: give strings")
    image, name = str(fields["image"]), fields.get("id")
    name = image if name in (None, "") else str(name)
    split = fields.get("split") or _hashed_split(name)
    if split not in (*SPLITS, QUERY):
        raise _error(path, line, f"has split {split!r}: use one of {', '.join((*SPLITS, QUERY))}")
    file = as_on_disk(os.path.normpath(os.path.join(path.parent, image)))
    return Row(line, name, file, [text for text in texts if text.strip()], labels, split)


def _hashed_split(name: str) -> str:
    tenth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10
    return {8: "validation", 9: "test"}.get(tenth, "train")


def _fault(row: Row) -> str | None:
    if not row.texts:
        return "has no text"
    return None if os.path.isfile(row.image) else f"has no image file at {row.image}"


def _labels(path: Path, rows: list[Row]) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Class names and multi-hot labels `[n, classes]`, or None and None."""
    found = {name for row in rows for name in row.labels}
    if not found:
        return None, None
    class_file = path.with_name("classes.txt")
    classes = sorted(found)
    if class_file.is_file():
        classes = [name.strip() for name in _read_text(class_file).split("\n") if name.strip()]
    index = {name: column for column, name in enumerate(classes)}
    for row in rows:
        for name in set(row.labels) - index.keys():
            what = f"has the label {name!r}, which {class_file} lacks: add it there"
            raise _error(path, row.line, what)
    columns = [[index[name] for name in row.labels] for row in rows]
    return tuple(classes), multi_hot(columns, len(classes))


def _error(path: Path, line: int, what: str) -> InputError:
    return InputError(f"Line {line} of {path} {what}.")
