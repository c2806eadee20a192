"""The tables of two papers, from `papers.yaml`: which trainings they are of, what they print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        printed: By dataset what a paper prints: mAP@all of image to text and of text to image, and
            the average. A row without is of all datasets of its table.
        settings: What differs from the method's defaults.
        seconds: By dataset what a paper prints: seconds of the training and of the test.
    """

    method: str
    printed: Mapping[str, Sequence[float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        source: The paper, and the table's number.
        features: What the paper's methods read.
        datasets: The datasets that its methods learn from.
        rows: Its rows.
        notes: Misprints, and what the paper does otherwise.
        pairs: By dataset the paper's numbers of training, validation and test pairs, where known.
        test_on: The dataset that they are tested on, if it is another one.
    """

    source: str
    features: str
    datasets: Sequence[str]
    rows: Sequence[Entry]
    notes: Sequence[str] = ()
    pairs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    test_on: str | None = None

    def about(self, dataset: str) -> str:
        """What a reader needs to know of the printed numbers of a dataset."""
        pairs = [told_pairs(self.pairs[dataset])] if dataset in self.pairs else []
        there = "; ".join([self.features, *pairs])
        return " ".join([f"Printed: {self.source}. There: {there}.", *self.notes])


def told_pairs(sizes: Iterable[int]) -> str:
    """How many pairs each split has, for people."""
    return f"{'/'.join(f'{size:,}' for size in sizes)} training, validation and test pairs"


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
