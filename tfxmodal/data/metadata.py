"""Metadata of a manifest's pairs: the columns that say nothing of image, text, labels or split."""

import logging
import re
from collections.abc import Sequence

from tfxmodal.data.rows import Row

LOG = logging.getLogger(__name__)

NUMBER = re.compile(r"[-+]?(0|[1-9]\d{0,14})(\.\d+)?([eE][-+]?\d{1,2})?")
"""A number as people write it; 007 and 1_000 are texts, and so are numbers of 16 digits
and more, which floats do not tell apart."""

BOOLEANS = {"true": True, "false": False}
Value = str | float | bool | None


def metadata_of(rows: Sequence[Row], of_table: bool) -> dict[str, list[Value]]:
    """By column the values of all rows: texts, numbers or booleans, None where there are none.

    A column of lists or objects is left out, and logged.

    Args:
        rows: A manifest's.
        of_table: Whether it is a table, where a column holds numbers, or `true` and `false`, if all
            its values can be read so.
    """
    names = dict.fromkeys(name for row in rows for name in row.metadata)
    found: dict[str, list[Value]] = {}
    for name in names:
        values = [row.metadata.get(name) for row in rows]
        there = [value for value in values if value not in (None, "")]
        nested = next((value for value in there if isinstance(value, (list, dict))), None)
        if nested is not None:
            LOG.warning("The metadata column %s is left out: it holds %r.", name, nested)
        elif of_table:
            read = _reader(there)
            found[name] = [None if value in (None, "") else read(value) for value in values]
        else:
            found[name] = values
    return found


def _reader(texts: Sequence[str]):
    """What the texts of a column are read by."""
    if texts and all(NUMBER.fullmatch(text.strip()) for text in texts):
        return float
    if texts and all(text.strip().lower() in BOOLEANS for text in texts):
        return lambda text: BOOLEANS[text.strip().lower()]
    return str
