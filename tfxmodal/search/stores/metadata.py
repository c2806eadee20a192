"""Metadata in memory: columns as arrays, and which items fulfil a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxmodal.search.stores.store import Value
from tfxmodal.search.stores.where import And, Compare, In, Missing, Not, Or, Where

COMPARED = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


class Metadata:
    """Columns of values or None, a row an item.

    Attributes:
        columns: Their types, by name.
    """

    def __init__(self):
        self.columns: dict[str, str] = {}
        self._values: dict[str, np.ndarray] = {}  # objects
        self._rows = 0

    def append(self, n: int, values: Mapping[str, Sequence[Value]], columns: Mapping[str, str]):
        """Adds `n` rows; a column that they have not, or that is new, is None where it lacks."""
        self.columns = dict(columns)
        for name in columns:
            before = self._values.get(name, np.full(self._rows, None))
            added = np.full(n, None)
            added[:] = values.get(name, [None] * n)
            self._values[name] = np.concatenate([before, added])
        self._rows += n

    def keep(self, rows: np.ndarray):
        """Keeps some rows alone."""
        self._values = {name: values[rows] for name, values in self._values.items()}
        self._rows = len(rows)

    def take(self, rows) -> dict[str, list[Value]]:
        """The values of some rows, by column."""
        return {name: values[rows].tolist() for name, values in self._values.items()}

    def fulfil(self, where: Where) -> np.ndarray:
        """Which rows fulfil a condition, bool `[rows]`."""
        match where:
            case And(parts):
                return np.logical_and.reduce([self.fulfil(part) for part in parts])
            case Or(parts):
                return np.logical_or.reduce([self.fulfil(part) for part in parts])
            case Not(part):
                return ~self.fulfil(part)
            case Missing(column):
                return self._values[column] == None  # noqa: E711, element by element
            case In(column, values):
                wanted = set(values)
                return np.array([value in wanted for value in self._values[column]], bool)
            case Compare(column, operator, value):
                values = self._values[column]
                there = values != None  # noqa: E711
                there[there] = COMPARED[operator](values[there], value)
                return there
