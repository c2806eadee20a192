"""Tables of text: CSV and its kin, with commas, semicolons, tabs or bars between the fields."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from tfxmodal.data.columns import REQUIRED, Columns, is_known
from tfxmodal.data.listings import PICTURES

DELIMITERS = (",", ";", "\t", "|")
TWICE = 'close it, and write a quote that is part of a text twice ("")'
STRAY = (
    "has a carriage return by itself, outside of quotes: end lines with a line feed, with or "
    "without a carriage return before it"
)


class RowError(ValueError):
    """A row is wrong.

    Attributes:
        line: The line where it begins.
    """

    def __init__(self, line: int, what: str):
        super().__init__(what)
        self.line = line


def read_table(path: Path, text: str, splits: Sequence[str]) -> Iterator[tuple[int, Columns, list]]:
    """The rows of a table: the line where each begins, the columns, and its fields.

    The first line names the columns; the delimiter is the one by which it has the most columns of
    known names. Quotes are those of CSV: a field that begins with one ends at the next.

    Args:
        path: The file, beside which images may lie.
        text: What it holds.
        splits: The names that a split has.

    Raises:
        RowError: If the header or a row is wrong.
    """
    lines = list(io.StringIO(text, newline="\n"))
    # What a text may hold is checked later, where it is encoded.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    if "\r" in "".join(lines[:1]).rstrip("\r\n"):
        raise RowError(1, STRAY)
    delimiter, names = _header(lines)
    try:
        columns = Columns([name.strip() for name in names])
    except ValueError as error:
        raise RowError(1, f"{error}: rename one of them") from None
    for meaning in REQUIRED:
        if not columns.has(meaning):
            found = ", ".join(map(repr, columns.names)) or "none"
            what = f"has no `{meaning}` among its columns ({found})"
            raise RowError(1, f"{what}: name the columns there, as in image,text")
    # As in `image_name| comment`: there a quote may follow the space.
    spaced = len(names) > 1 and all(name.startswith(" ") for name in names[1:])
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=spaced)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            if "new-line character" in str(error):
                raise RowError(reader.line_num, STRAY) from None
            what = f"is no CSV ({error}; it was read up to line {reader.line_num})"
            raise RowError(line, f"{what}: a field that begins with a quote {TWICE}") from None
        if values is None:
            return
        if line == 1 or not values:
            continue
        if len(values) > len(names):
            what = f"has more fields than the header: quote texts that hold {delimiter!r}"
            raise RowError(line, what)
        if any(len(columns.of(each, values)) < len(columns.of(each, names)) for each in REQUIRED):
            what = f"has {len(values)} field(s) and the header {len(names)}"
            raise RowError(line, f"{what}: add what is missing")
        record = lines[line - 1 : reader.line_num]
        if len(record) > 1 and _several_rows(path, record, columns, delimiter, splits):
            opened = line + _lines_before_the_longest(values)
            what = (
                f"opens a quote in which lines up to {reader.line_num} look like rows of their own"
            )
            raise RowError(opened, f"{what}: {TWICE}")
        yield line, columns, values


def _header(lines: list[str]) -> tuple[str, list[str]]:
    """The delimiter, and the names of the columns as they stand."""
    first = lines[:1]
    headers = {each: next(csv.reader(first, delimiter=each), []) for each in DELIMITERS}
    best = max(DELIMITERS, key=lambda each: sum(map(is_known, headers[each])))
    return best, headers[best]


def _several_rows(
    path: Path, record: list[str], columns: Columns, delimiter: str, splits: Sequence[str]
) -> bool:
    """Whether more than one line of a record looks like a row by itself."""
    width = len(columns.names)

    def is_image(field: str) -> bool:
        is_picture = PurePosixPath(field).suffix.lower() in PICTURES
        return is_picture or (bool(field) and os.path.isfile(path.parent / field))

    def is_row(line: str) -> bool:
        fields = [field.strip().strip('"') for field in line.split(delimiter)]
        if len(fields) < width:
            return False
        # A text may hold delimiters: columns after it are counted from the end.
        ends = fields[:width], fields[-width:]
        images = [name for end in ends for name in columns.of("image", end)]
        given = [name for end in ends for name in columns.of("split", end)]
        return any(map(is_image, images)) or any(name in splits for name in given)

    return sum(map(is_row, record)) > 1


def _lines_before_the_longest(values: list[str]) -> int:
    """The line ends before the field that holds the most of them."""
    counts = [value.count("\n") for value in values]
    return sum(counts[: counts.index(max(counts))])
