"""Rows of a manifest: one an image, whatever the form of the file."""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfxmodal.data.columns import REQUIRED, Columns
from tfxmodal.data.json_rows import read_json_file, read_json_lines
from tfxmodal.data.tables import RowError, read_table
from tfxmodal.errors import InputError
from tfxmodal.io.reading import Listed, as_on_disk

LOG = logging.getLogger(__name__)
SPLITS = ("train", "validation", "test")
QUERY = "query"
"""The `split` of test pairs that ask, where those of split `test` are the database."""
LINES = (".jsonl", ".ndjson", ".jsonlines")
"""Suffixes of JSON lines."""
SUFFIXES = (*LINES, ".csv", ".tsv", ".json")
TRIED = 20
"""Images by which the folder of all is found."""


@dataclass
class Row:
    """One pair as its manifest tells it; `image` is a path from here.

    `metadata` are the values of its other columns, as they are written.
    """

    line: int
    id: str
    image: str
    texts: list[str]
    labels: list[str]
    split: str
    metadata: dict


def is_manifest(path: Path) -> bool:
    """Whether a file's name is that of a manifest."""
    return path.suffix.lower() in SUFFIXES


def read_rows(path: Path) -> list[Row]:
    """A manifest's pairs, one row an image, in its order; see `load` for its columns.

    Args:
        path: The manifest.

    Raises:
        InputError: If it cannot be read or is malformed, or a pair is there twice.
    """
    try:
        rows = _merged(path, list(_records(path)))
    except RowError as error:
        raise error_at(path, error.line, str(error)) from error
    if not rows:
        raise InputError(f"{path} is empty: list at least one pair for each split.")
    listed: Listed = {}
    folder = _image_folder(path, [row.image for row in rows[:TRIED]], listed)
    for row in rows:
        row.image = as_on_disk(os.path.normpath(os.path.join(folder, row.image)), listed)
    return rows


def _records(path: Path) -> Iterator[tuple[int, Columns, list]]:
    """The line of each row, its columns and their values."""
    text = _read_text(path)
    kind = path.suffix.lower()
    if kind in LINES:
        return read_json_lines(text)
    if kind == ".json":
        return read_json_file(path, text)
    return read_table(path, text, (*SPLITS, QUERY))


def _merged(path: Path, records: list[tuple[int, Columns, list]]) -> list[Row]:
    """One row an image, from the rows of a manifest."""
    of_table = is_table(path)
    by_image: dict[str, Row] = {}
    by_id: dict[str, Row] = {}
    for line, columns, values in records:
        row = _row(line, columns, values, of_table)
        first = by_image.setdefault(row.image, row)
        if first is row:
            if by_id.setdefault(row.id, row) is not row:
                again = f"repeats the id {row.id!r} of line {by_id[row.id].line}"
                raise RowError(line, f"{again}: give each pair its own")
        elif of_table and all(
            value in ("", getattr(first, name))
            for name in ("id", "split")
            for value in columns.of(name, values)
        ):
            first.texts += row.texts
            first.labels += [name for name in row.labels if name not in first.labels]
        else:
            again = f"lists {row.image} again after line {first.line}"
            remedy = "repeat its id and split" if of_table else "give all its `texts` at once"
            raise RowError(line, f"{again}: {remedy}")
    remarks = dict.fromkeys(remark for _, columns, _ in records for remark in columns.remarks)
    if remarks:
        LOG.warning("In %s %s.", path, "; ".join(remarks))
    return list(by_image.values())


def _row(line: int, columns: Columns, values: list, of_table: bool) -> Row:
    """Checks a row's fields and fills in the defaults."""
    images, names, splits = (columns.of(name, values) for name in ("image", "id", "split"))
    for column in REQUIRED:
        if not columns.has(column):
            found = ", ".join(map(repr, columns.names)) or "none"
            raise RowError(line, f"has no `{column}` among its keys ({found}): add that key")
    if images[0] in (None, ""):
        raise RowError(line, "has no `image`: add its path")
    image = os.path.normpath(str(images[0]))
    texts = _strings(line, "text", columns, values)
    for text in texts:
        if text.startswith(("['", '["')) and text.endswith(("']", '"]')):
            raise RowError(line, f"has a list as its `text` ({text[:40]!r}): write a row a text")
    name = str(images[0]) if not names or names[0] in (None, "") else str(names[0])
    split = _hashed_split(name) if not splits or splits[0] in (None, "") else splits[0]
    if split not in (*SPLITS, QUERY):
        raise RowError(line, f"has split {split!r}: use one of {', '.join((*SPLITS, QUERY))}")
    labels = _class_names(line, columns, values, of_table)
    texts = [text for text in texts if text.strip()]
    return Row(line, name, image, texts, labels, split, columns.metadata(values))


def _class_names(line: int, columns: Columns, values: list, of_table: bool) -> list[str]:
    """The labels of a row: in a table separated by `;`, in JSON a list or one name."""
    for value in columns.of("labels", values):
        if not of_table and isinstance(value, str) and re.search("[,;|]", value):
            raise RowError(line, f"has `labels` {value!r}: give a list of names")
    names = _strings(line, "labels", columns, values)
    if of_table:
        names = [name for each in names for name in each.split(";")]
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def _strings(line: int, meaning: str, columns: Columns, values: list) -> list[str]:
    """The values of a row that mean `text` or `labels`, in one list; numbers may be labels."""
    found: list[str] = []
    for value in columns.of(meaning, values):
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            if not isinstance(each, str):
                is_number = type(each) in (int, float)  # a bool is none
                if not is_number or meaning != "labels":
                    raise RowError(line, f"has `{meaning}` {value!r}: give strings")
            found.append(str(each))
    return found


def _image_folder(path: Path, images: list[str], listed: Listed) -> Path:
    """Where the paths of images start: at the manifest, or in the one folder that holds them."""

    def holds(folder: Path) -> bool:
        return any(os.path.isfile(as_on_disk(str(folder / image), listed)) for image in images)

    if holds(path.parent):
        return path.parent
    folders = [each for each in path.parent.iterdir() if each.is_dir() and holds(each)]
    if len(folders) != 1:
        return path.parent
    LOG.warning("The images of %s are those in %s.", path, folders[0])
    return folders[0]


def _hashed_split(name: str) -> str:
    tenth = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8]) % 10
    return {8: "validation", 9: "test"}.get(tenth, "train")


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path} ({error.strerror}): correct its path.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise error_at(path, line, "is not UTF-8: save the file in that encoding") from None


def is_table(path: Path) -> bool:
    """Whether a manifest is a table, and not JSON."""
    return path.suffix.lower() not in (*LINES, ".json")


def error_at(path: Path, line: int, what: str) -> InputError:
    """The error in a row of a manifest."""
    place = "Entry" if path.suffix.lower() == ".json" else "Line"
    return InputError(f"{place} {line} of {path} {what}.")
