"""The trainings of a benchmark: methods x datasets x seeds x variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from tfxmodal.benchmark.assignments import assigned, assignment
from tfxmodal.benchmark.cells import Cell, Source
from tfxmodal.benchmark.papers import Entry, paper_table
from tfxmodal.data import DATASETS
from tfxmodal.errors import InputError, check_ranges, choose
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.data_hash import data_hash
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.training.presets import OWN_DATA, Preset, forms_of
from tfxmodal.training.settings import Settings, replaced

VARIANTS = ("labelled_fraction", "label_noise")
"""Settings of which a grid takes several values, each a row of the tables."""


@dataclass(frozen=True)
class Grid:
    """Which trainings a benchmark is made of."""

    methods: tuple[str, ...] = ("all",)
    """Methods by their names, or all. Those that cannot learn from a dataset are listed with the
    reason."""

    datasets: tuple[str, ...] = ()
    """Datasets by their names, whose folders are data/NAME, or NAME=FOLDER; by default
    emoji_scenes, or those of --paper."""

    paper: str | None = None
    """The trainings of a paper's table, with its numbers beside ours: scl_table_2, scl_table_3,
    scl_table_5, or drsl_table_1 to drsl_table_7; or of a figure over two settings: scl_figure_5,
    scl_figure_6. --methods and --datasets take a part of it."""

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
        for name in ("methods", "seeds"):
            if not getattr(self, name):
                raise InputError(f"`{name}` must name at least one; received none.")
        for name in (*VARIANTS, "methods", "datasets", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InputError(f"`{name}` {getattr(self, name)} names one twice: name it once.")
        given = [name for name in VARIANTS if getattr(self, name)]
        if self.paper and given:
            raise InputError(
                f"`{given[0]}` {getattr(self, given[0])} would add rows to those of `paper` "
                f"{self.paper}: give one of the two."
            )
        check_ranges(self, tune="[0, inf)")
        if self.tune and not find_spec("optuna"):
            raise InputError(
                f"`tune` {self.tune} needs Optuna: pip install optuna, or leave it out."
            )
        configs = self._configs()
        names = [*self._methods, *(each.dataset for each in configs.values())]
        for name, _, _ in map(assignment, self.set):
            choose("name in `set`", name, names)
        for config in configs.values():
            for row in self._rows(config):
                self._forms(row, config, self.seeds[0])  # Raises where a value is wrong.

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
            Cell(
                row.method,
                source.name,
                row.settings,
                seed,
                self._forms(row, source.config, seed),
                source.hash,
                self.tune,
                row.printed.get(source.config.dataset),
            )
            for seed, source in product(self.seeds, sources.values())
            for row in self._rows(source.config)
        ]

    @property
    def _methods(self) -> list[str]:
        """Their names, quick ones first."""
        methods = METHODS if "all" in self.methods else self.methods
        return sorted(methods, key=lambda method: METHODS[method].fit is None)

    def _configs(self) -> dict[str, DataConfig]:
        configs = {}
        known = paper_table(self.paper).datasets if self.paper else DATASETS
        for given in self.datasets or (known if self.paper else ("emoji_scenes",)):
            dataset, _, folder = given.partition("=")
            choose(f"dataset of {self.paper}" if self.paper else "dataset", dataset, known)
            config = DataConfig.for_dataset(dataset)
            place = Path(folder) if folder else None
            config = replace(config, data_dir=place, cache_dir=self.cache_dir)
            name = place.stem if place and dataset in OWN_DATA else dataset
            if name in configs:
                raise InputError(f"`datasets` names two {name}: give them apart, or rename one.")
            configs[name] = replaced(config, assigned(self.set, dataset, DataConfig))
        return configs

    def _rows(self, data: DataConfig) -> Iterator[Entry]:
        """The rows of a dataset's table: methods, each with the variants that matter to it."""
        for method in self._methods:
            if self.paper:
                rows = (row for row in paper_table(self.paper).rows if row.method == method)
                yield from (row for row in rows if data.dataset in (row.printed or [data.dataset]))
                continue
            spec = METHODS[method]
            matters = {
                "labelled_fraction": hasattr(spec.config, "labelled_fraction"),
                "label_noise": spec.setting != "unsupervised",
            }
            asked = [
                [(name, value) for value in getattr(self, name)]
                for name in VARIANTS
                if matters[name] and getattr(self, name)
            ]
            yield from (Entry(method, {}, dict(variant)) for variant in product(*asked))

    def _forms(self, row: Entry, data: DataConfig, seed: int) -> dict[str, Settings]:
        """The settings of a row, one form or several."""
        return {
            name: form.having(**self._given(row.method, form) | dict(row.settings, seed=seed))
            for name, form in forms_of(row.method, data, self.preset).items()
        }

    def _given(self, method: str, form: Settings) -> dict[str, Any]:
        """What the grid gives of a method's settings."""
        given = {"epochs": self.epochs, "minutes": self.minutes}
        given = {k: v for k, v in given.items() if v is not None and hasattr(form.training, k)}
        given |= assigned(self.set, method, type(form.config), type(form.training))
        if given.get("strategy") == "multi_worker":
            raise InputError(
                f"`set` {method}.strategy=multi_worker has no place in a benchmark, which trains "
                "each row on one machine: leave it out; machines that share `to` share the rows."
            )
        return given
