"""The trainings of a benchmark: methods x datasets x seeds x variants."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tfxmodal.data import DATASETS, Dataset
from tfxmodal.errors import InputError, check_ranges, choose
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.data_hash import data_hash
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.training.presets import OWN_DATA, Preset, forms_of
from tfxmodal.training.settings import Settings, replaced

VARIANTS = ("labelled_fraction", "label_noise")
"""Settings of which a grid takes several values, each a row of the tables."""


@dataclass(frozen=True)
class Source:
    """A dataset of a grid, loaded once in a process.

    Attributes:
        name: By which tables know it.
        config: How it is loaded and turned into features.
        dataset: The pairs.
        hashes: Of its splits.
        shared: The features that were made of it.
    """

    name: str
    config: DataConfig
    dataset: Dataset
    hashes: Mapping[str, str]
    shared: dict = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Of all its pairs."""
        return fingerprint(dict(self.hashes))


@dataclass(frozen=True)
class Cell:
    """A training of a grid.

    Attributes:
        method: Its name.
        dataset: The name of its `Source`.
        variant: What differs from other rows of the method, by setting.
        seed: That of the training.
        forms: Its settings, one or several forms, of which validation chooses.
        data: A hash of the pairs.
        trials: Of tuning; 0 leaves the settings as they are.
    """

    method: str
    dataset: str
    variant: Mapping[str, float]
    seed: int
    forms: Mapping[str, Settings]
    data: str
    trials: int

    @cached_property
    def name(self) -> str:
        """Its folder's name; other settings or other pairs give another one."""
        forms = [form.deciding() for form in self.forms.values()]
        return self._named(f"seed{self.seed}", forms, self.data, self.trials)

    @cached_property
    def study(self) -> str:
        """The name of its tuning, which it shares with other seeds, and with more trials."""
        forms = [form.having(seed=0).deciding() for form in self.forms.values()]
        return self._named("tuning", forms, self.data)

    def _named(self, what: str, *decides) -> str:
        variant = (f"{name}{value:g}" for name, value in self.variant.items())
        decided = fingerprint(json.dumps(decides, sort_keys=True))[:8]
        words = [self.method, self.dataset, *variant, what, decided]
        return re.sub(r"[^\w.-]+", "-", "-".join(words))

    @property
    def title(self) -> str:
        """Its name for people."""
        return ", ".join([self.method, self.dataset, *told(self.variant), f"seed {self.seed}"])


def told(variant: Mapping[str, Any]) -> list[str]:
    """A variant's settings for people."""
    return [f"{name.replace('_', ' ')} {value}" for name, value in variant.items()]


@dataclass(frozen=True)
class Grid:
    """Which trainings a benchmark is made of."""

    methods: tuple[str, ...] = ("all",)
    """Methods by their names, or all. Those that cannot learn from a dataset are listed with the
    reason."""

    datasets: tuple[str, ...] = ("emoji_scenes",)
    """Datasets by their names, whose folders are data/NAME, or NAME=FOLDER."""

    seeds: tuple[int, ...] = (0,)
    """Seeds of each training."""

    labelled_fraction: tuple[float, ...] = ()
    """Fractions of the labels that methods with labels may use, each a row of the tables; by
    default each method's own."""

    label_noise: tuple[float, ...] = ()
    """Shares of wrong training labels for methods with labels, each a row of the tables."""

    preset: Preset | None = None
    """The settings of each method: paper, or recommended (see train.py); by default recommended for
    pairs and features, and paper for benchmarks."""

    set: tuple[str, ...] = ()
    """Single settings, NAME.SETTING=VALUE: of a method (scl.learning_rate=0.001) or a dataset
    (wikipedia.vocabulary_size=1000)."""

    tune: int = 0
    """Trials of tuning for each row of the tables, on validation only (needs pip install optuna); 0
    takes the preset as it is."""

    epochs: int | None = None
    """Epochs of each method that is trained by gradients; by default the preset's."""

    minutes: float | None = None
    """Longest time of the training steps of each such method; by default the preset's."""

    cache_dir: Path = Path("cache")
    """Where features are kept, so that they are computed once."""

    def __post_init__(self):
        for method in self.methods:
            choose("method", method, [*METHODS, "all"])
        for name in ("methods", "datasets", "seeds"):
            if not getattr(self, name):
                raise InputError(f"`{name}` must name at least one; received none.")
        for name in (*VARIANTS, "methods", "datasets", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InputError(f"`{name}` {getattr(self, name)} names one twice: name it once.")
        check_ranges(self, tune="[0, inf)")
        if self.tune and not find_spec("optuna"):
            raise InputError(
                f"`tune` {self.tune} needs Optuna: pip install optuna, or leave it out."
            )
        configs = self._configs()
        names = [*self._methods, *(each.dataset for each in configs.values())]
        for name, _, _ in map(_assignment, self.set):
            choose("name in `set`", name, names)
        for method, config in product(self._methods, configs.values()):
            list(self._variants(method, config, self.seeds[0]))  # Raises where a value is wrong.

    def sources(self, reporter: Reporter = SILENT) -> dict[str, Source]:
        """The datasets, loaded, by name.

        Raises:
            InputError: If one cannot be loaded.
        """
        found = {}
        for name, config in self._configs().items():
            dataset = load(config, reporter.bar)
            hashes = {split: data_hash(each, config.cache_dir) for split, each in dataset.splits()}
            found[name] = Source(name, config, dataset, hashes)
        return found

    def cells(self, sources: Mapping[str, Source]) -> list[Cell]:
        """All trainings, seed by seed and quick ones first: so the tables fill evenly."""
        return [
            Cell(method, source.name, variant, seed, forms, source.hash, self.tune)
            for seed, source, method in product(self.seeds, sources.values(), self._methods)
            for variant, forms in self._variants(method, source.config, seed)
        ]

    @property
    def _methods(self) -> list[str]:
        """Their names, quick ones first."""
        methods = METHODS if "all" in self.methods else self.methods
        return sorted(methods, key=lambda method: METHODS[method].fit is None)

    def _configs(self) -> dict[str, DataConfig]:
        configs = {}
        for given in self.datasets:
            dataset, _, folder = given.partition("=")
            choose("dataset", dataset, DATASETS)
            config = DataConfig.for_dataset(dataset)
            place = Path(folder) if folder else None
            config = replace(config, data_dir=place, cache_dir=self.cache_dir)
            name = place.stem if place and dataset in OWN_DATA else dataset
            if name in configs:
                raise InputError(f"`datasets` names two {name}: give them apart, or rename one.")
            configs[name] = replaced(config, self._set(dataset, config))
        return configs

    def _variants(
        self, method: str, data: DataConfig, seed: int
    ) -> Iterator[tuple[dict[str, float], dict[str, Settings]]]:
        """The variants that make a difference to a method, and their settings."""
        base = forms_of(method, data, self.preset)
        first = next(iter(base.values()))
        matters = {
            "labelled_fraction": hasattr(first.config, "labelled_fraction"),
            "label_noise": first.spec.setting != "unsupervised",
        }
        asked = [
            [(name, value) for value in getattr(self, name)] for name in VARIANTS if matters[name]
        ]
        for variant in product(*filter(None, asked)):
            yield (
                dict(variant),
                {
                    name: form.having(seed=seed, **self._given(method, form), **dict(variant))
                    for name, form in base.items()
                },
            )

    def _given(self, method: str, form: Settings) -> dict[str, Any]:
        """What the grid gives of a method's settings."""
        given = {"epochs": self.epochs, "minutes": self.minutes}
        given = {k: v for k, v in given.items() if v is not None and hasattr(form.training, k)}
        return given | self._set(method, form.config, form.training)

    def _set(self, name: str, *configs) -> dict[str, Any]:
        """The values of `set` for a method or a dataset, whose settings are in `configs`."""
        kinds = {k: kind for each in configs for k, kind in get_type_hints(type(each)).items()}
        found = {}
        for of, setting, value in map(_assignment, self.set):
            if of != name:
                continue
            choose(f"setting of {name}", setting, kinds)
            if not _fits(value, kinds[setting]):
                raise InputError(
                    f"`set` {name}.{setting} must be {kinds[setting]}; received {value!r}."
                )
            found[setting] = value
        return found


def _assignment(text: str) -> tuple[str, str, Any]:
    """`NAME.SETTING=VALUE` in its parts; the value is JSON, or else a text."""
    place, equals, value = text.partition("=")
    name, dot, setting = place.partition(".")
    if not (equals and dot):
        raise InputError(f"`set` takes NAME.SETTING=VALUE; received {text!r}.")
    try:
        return name, setting, json.loads(value)
    except ValueError:
        return name, setting, value


def _fits(value, kind) -> bool:
    """Whether a value of JSON is of the type of a config's field."""
    within, origin = get_args(kind), get_origin(kind)
    if origin is Literal:
        return value in within
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in within)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(each, within[0]) for each in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, {float: (int, float), Path: str}.get(kind, kind))
