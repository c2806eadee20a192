"""Rows of JSON: one object a line, a list of objects, or Karpathy's `dataset_*.json`."""

import json
import posixpath
from collections.abc import Iterator
from pathlib import Path

from tfxmodal.data.columns import Columns
from tfxmodal.data.tables import RowError
from tfxmodal.errors import InputError

KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "validation", "test": "test"}
"""The splits of Karpathy and Fei-Fei, CVPR 2015; COCO's `restval` is trained on, as is usual."""

Rows = Iterator[tuple[int, Columns, list]]


def read_json_lines(text: str) -> Rows:
    """The rows of JSON lines: the number of each line, its keys and its values.

    Raises:
        RowError: If a line is no JSON object.
    """
    # str.splitlines would also split at the exotic line ends that JSON strings may hold.
    lines = enumerate(text.split("\n"), start=1)
    return _rows((line, _parsed(line, each)) for line, each in lines if each.strip())


def read_json_file(path: Path, text: str) -> Rows:
    """The rows of a list of objects, or of Karpathy's file, numbered from 1.

    Raises:
        InputError: If it is neither.
        RowError: If an entry is wrong.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is not whole JSON ({error}): write it again.") from None
    if isinstance(content, list):
        return _rows(enumerate(content, start=1))
    keys = content.keys() if isinstance(content, dict) else set()
    if "annotations" in keys:
        raise InputError(
            f"{path} is in COCO's layout: give its folder with `dataset` coco, or write one "
            "object a pair."
        )
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        found = ", ".join(sorted(map(repr, keys))) or type(content).__name__
        raise InputError(
            f"{path} must be a list of objects, or Karpathy's file with `images`; received "
            f"{found}: write one object a pair."
        )
    return _rows((n, _of_karpathy(n, each)) for n, each in enumerate(content["images"], start=1))


def _parsed(line: int, text: str):
    try:
        return json.loads(text)
    except ValueError as error:
        raise RowError(line, f"is no JSON ({error}): write one object a line") from None


def _rows(objects) -> Rows:
    known: dict[tuple, Columns] = {}
    for number, fields in objects:
        if not isinstance(fields, dict):
            raise RowError(number, f"is {json.dumps(fields)[:40]!r}: write a JSON object")
        keys = tuple(fields)
        if keys not in known:
            try:
                known[keys] = Columns(keys)
            except ValueError as error:
                raise RowError(number, f"{error}: rename one of them") from None
        yield number, known[keys], list(fields.values())


def _of_karpathy(number: int, entry) -> dict:
    """An entry of Karpathy's file in our names."""
    try:
        split = entry["split"]
        return {
            "image": posixpath.join(entry.get("filepath") or "", entry["filename"]),
            "texts": [sentence["raw"] for sentence in entry["sentences"]],
            "split": KARPATHY_SPLITS.get(split, split),
        }
    except (AttributeError, KeyError, TypeError) as error:
        what = f"is not in Karpathy's layout ({error!r})"
        raise RowError(number, f"{what}: download the file again") from None
