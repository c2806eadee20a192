"""The parts of a benchmark: datasets that are loaded once, and trainings on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tfxmodal.data import Dataset
from tfxmodal.inputs.config import DataConfig
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.names import plain_name
from tfxmodal.training.settings import Settings

FORM = "form"
"""In a tuning's space the choice among several forms of a preset."""


@dataclass(frozen=True)
class Source:
    """A dataset of a grid, loaded once in a process.

    Attributes:
        name: By which tables know it.
        config: How it is loaded and turned into features.
        dataset: The pairs.
        hashes: Of its splits.
        elsewhere: Another dataset, on which runs that learned from this one are measured.
        shared: The features that were made of it.
    """

    name: str
    config: DataConfig
    dataset: Dataset
    hashes: Mapping[str, str]
    elsewhere: Source | None = None
    shared: dict = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Of all its pairs."""
        return fingerprint(dict(self.hashes))

    @property
    def evaluation(self) -> str:
        """The name of the measurements of a run on its test pairs; other pairs give another one."""
        return f"{self.name}-test-{fingerprint(self.hashes['test'])[:8]}"

    @property
    def table(self) -> str:
        """The name of the table of runs that learned from it."""
        return f"{self.elsewhere.name}, trained on {self.name}" if self.elsewhere else self.name


@dataclass(frozen=True)
class Cell:
    """A training of a grid.

    Attributes:
        method: Its name.
        dataset: The name of its `Source`.
        table: The name of its table.
        evaluation: Where in its run the numbers of the table are, if not of its own test pairs.
        variant: What differs from other rows of the method, by setting.
        seed: That of the training.
        forms: Its settings, one or several forms, of which validation chooses.
        data: A hash of the pairs.
        trials: Of tuning; 0 leaves the settings as they are.
        printed: What a paper prints of its row: mAP@all of both directions, and their average.
        printed_seconds: Likewise of the training and of the test.
        contents: Hashes of the weights that its settings name on the disk.
    """

    method: str
    dataset: str
    table: str
    evaluation: str | None
    variant: Mapping[str, Any]
    seed: int
    forms: Mapping[str, Settings]
    data: str
    trials: int
    printed: Sequence[float] | None = None
    printed_seconds: Sequence[float] | None = None
    contents: Sequence[str] = ()

    @cached_property
    def name(self) -> str:
        """Its folder's name; other settings or other pairs give another one."""
        forms = [form.deciding() for form in self.forms.values()]
        tuning = [self.space] if self.trials else []
        return self._named(f"seed{self.seed}", forms, self.data, self.trials, *tuning)

    @cached_property
    def study(self) -> str:
        """The name of its tuning, which it shares with other seeds, and with more trials."""
        forms = [form.having(seed=0).deciding() for form in self.forms.values()]
        return self._named("tuning", forms, self.data, self.space)

    @cached_property
    def space(self) -> dict[str, list[str]]:
        """What tuning tries: the choices of each setting as JSON, that of the first form first.

        What the row differs in is its own, and not tried.
        """
        first = next(iter(self.forms.values()))
        space = {FORM: [json.dumps(name) for name in self.forms]} if len(self.forms) > 1 else {}
        for name, values in first.spec.search_space.items():
            if name not in self.variant:
                part = first.config if hasattr(first.config, name) else first.training
                choices = [json.dumps(value) for value in (getattr(part, name), *values)]
                space[name] = list(dict.fromkeys(choices))
        return space

    def _named(self, what: str, *decides) -> str:
        variant = (f"{name}{value}" for name, value in self.variant.items())
        if self.contents:
            decides += (self.contents,)
        decided = fingerprint(json.dumps(decides, sort_keys=True))[:8]
        words = [self.method, self.dataset, *variant, what, decided]
        return plain_name("-".join(words))

    @property
    def row(self) -> str:
        """The name for people that it shares with other seeds."""
        return ", ".join([self.method, self.dataset, *told(self.variant)])

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.row}, seed {self.seed}"


def told(variant: Mapping[str, Any]) -> list[str]:
    """A variant's settings for people."""
    return [f"{name.replace('_', ' ')} {value}" for name, value in variant.items()]
