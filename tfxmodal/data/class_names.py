"""The classes that the labels of a manifest name."""

import logging
import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from tfxmodal.data.tables import RowError
from tfxmodal.io.reading import read_lines

LOG = logging.getLogger(__name__)
Labels = dict[int, list[str]]
"""By the line of each pair the names of its classes."""
FILE = "classes.txt"
A_LIST = re.compile(r"[,|]|^\[.*\]$")
"""What tells that a label of a table may be several."""


def without_unlabelled(path: Path, labels: Labels) -> Labels:
    """The labels without -1 and NaN, by which tables and feature files mark rows without a label.

    Where all are numbers, 3.0 is 3, unless `classes.txt` lists 3.0: a table that lacks some numbers
    of a column often writes the others so.

    Raises:
        RowError: If all labels are numbers, and one is another negative number or a fraction.
    """
    numbers = {name: _number(name) for names in labels.values() for name in names}
    none = {name for name, n in numbers.items() if n is not None and (n == -1 or math.isnan(n))}
    classes = numbers.keys() - none
    written = {}
    if all(numbers[name] is not None for name in classes):
        for line, names in labels.items():
            for name in classes.intersection(names):
                if numbers[name] < 0 or not numbers[name].is_integer():
                    what = f"has the label {name}: number classes from 0, with -1 for no label"
                    raise RowError(line, what)
        written = _as_whole(classes, listed_classes(path.parent))
    if none:
        marked = sum(not none.isdisjoint(names) for names in labels.values())
        found = " or ".join(sorted(none))
        message = "%d of %d pairs in %s have the label %s, which is taken for none."
        LOG.warning(message, marked, len(labels), path, found)
    return {
        line: [written.get(name, name) for name in names if name not in none]
        for line, names in labels.items()
    }


def class_names(path: Path, labels: Labels, is_table: bool) -> tuple[str, ...] | None:
    """The classes in their order: those of `classes.txt` beside the manifest, else sorted.

    Args:
        path: The manifest.
        labels: What its rows name.
        is_table: Whether a row's labels are in one field.

    Returns:
        The names, or None where there is no label.

    Raises:
        RowError: If a label is not in `classes.txt`, or, without it, looks like a list in a table.
    """
    found = {name for names in labels.values() for name in names}
    if not found:
        return None
    class_file = path.with_name(FILE)
    classes = listed_classes(path.parent)
    if classes is not None:
        wrong, what = found - set(classes), f"which {class_file} lacks: add it there"
    else:
        classes = sorted(found)
        wrong = {name for name in found if is_table and A_LIST.search(name)}
        what = f"which looks like several: separate them by `;`, or list it in {class_file}"
    for line, names in labels.items():
        if bad := sorted(wrong.intersection(names)):
            raise RowError(line, f"has the label {bad[0]!r}, {what}")
    alike: dict[str, str] = {}
    for name in sorted(found):
        other = alike.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other != name:
            LOG.warning("The labels %r and %r in %s are two classes.", other, name, path)
    return tuple(classes)


def listed_classes(folder: Path) -> list[str] | None:
    """The names in a folder's `classes.txt`, one a line; None where there is no such file."""
    path = folder / FILE
    return [line.strip() for _, line in read_lines(path)] if path.is_file() else None


def _as_whole(names: Iterable[str], listed: list[str] | None) -> dict[str, str]:
    """Whole numbers without a point or an exponent, by how they are written; 007 stays."""
    whole = {name: str(int(Decimal(name))) for name in names if not name.isdecimal()}
    if listed is None:
        return whole
    return {name: n for name, n in whole.items() if n in listed and name not in listed}


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
