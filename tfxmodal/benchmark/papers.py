"""The tables of two papers, from `papers.yaml`: which trainings they are of, what they print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from tfxmodal.errors import choose


@dataclass(frozen=True)
class Entry:
    """A row of a table that is to be filled.

    Attributes:
        method: The method's name.
        printed: By dataset what a paper prints: mAP@all of image to text and of text to image. A
            row without is of all datasets of its table.
        settings: What differs from the method's defaults.
    """

    method: str
    printed: Mapping[str, Sequence[float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        source: The paper, and the table's number.
        features: What the paper's methods read.
        datasets: The datasets that its methods learn from.
        rows: Its rows.
        notes: Misprints, and what the paper does otherwise.
        test_on: The dataset that they are tested on, if it is another one.
    """

    source: str
    features: str
    datasets: Sequence[str]
    rows: Sequence[Entry]
    notes: Sequence[str] = ()
    test_on: str | None = None

    @property
    def about(self) -> str:
        """What a reader needs to know of the printed numbers."""
        return " ".join([f"Printed: {self.source}. There: {self.features}.", *self.notes])


@cache
def paper_table(name: str) -> PaperTable:
    """A table by its name, such as `scl_table_2`.

    Raises:
        InputError: If there is none; the message lists them.
    """
    import yaml

    tables = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    choose("paper", name, tables)
    table = tables[name]
    rows = [entry for row in table["rows"] for entry in _entries(**row)]
    return PaperTable(**table | {"rows": rows})


def _entries(method: str, grid: Mapping[str, Sequence] | None = None, **given) -> list[Entry]:
    """A row; with `grid`, a row for each combination of the values of its settings."""
    if grid is None:
        return [Entry(method, **given)]
    combined = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
    return [Entry(method, settings=settings) for settings in combined]
