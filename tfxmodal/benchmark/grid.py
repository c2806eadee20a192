"""The trainings of a benchmark: methods x datasets x seeds x variants."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from tfxmodal.benchmark.assignments import assigned, assignment
from tfxmodal.benchmark.cells import Cell, Source
from tfxmodal.benchmark.contents import content_hash, weights_of
from tfxmodal.benchmark.papers import Entry, paper_table
from tfxmodal.data import DATASETS
from tfxmodal.errors import InputError, check_ranges, choose
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.data_hash import data_hash
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.training.config import SEEDS
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
    """The trainings of a paper's table, with its numbers beside ours: scl_table_2 to scl_table_5,
    or drsl_table_1 to drsl_table_7; or of a figure over two settings: scl_figure_5, scl_figure_6.
    --methods and --datasets take a part of it."""

    test_on: str | None = None
    """Another dataset, NAME or NAME=FOLDER, on whose test pairs the runs are measured instead of
    their own, by the encoders of their training (SCL paper, table IV); by default that of
    --paper."""

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
    (pascal_sentences.vocabulary_size=1000)."""

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
        check_ranges(self, tune="[0, inf)", seeds=SEEDS)
        if self.tune and not find_spec("optuna"):
            raise InputError(
                f"`tune` {self.tune} needs Optuna: pip install optuna, or leave it out."
            )
        configs = self._configs()
        used = [*configs.values(), *self._elsewhere.values()]
        names = [*self._methods, *(each.dataset for each in used)]
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

        def source(name: str, config: DataConfig, elsewhere: Source | None = None) -> Source:
            dataset = load(config, reporter.bar)
            hashes = {split: data_hash(each, config.cache_dir) for split, each in dataset.splits()}
            return Source(name, config, dataset, hashes, elsewhere)

        elsewhere = next((source(*each) for each in self._elsewhere.items()), None)
        return {name: source(name, each, elsewhere) for name, each in self._configs().items()}

    def cells(self, sources: Mapping[str, Source]) -> list[Cell]:
        """All trainings, seed by seed and quick ones first: so the tables fill evenly."""
        hashed = cache(content_hash)  # Of this call: weights may change until the next one.

        def cell(seed: int, source: Source, row: Entry) -> Cell:
            forms = self._forms(row, source.config, seed)
            weights = dict.fromkeys(path for form in forms.values() for path in weights_of(form))
            return Cell(
                row.method,
                source.name,
                source.table,
                source.elsewhere and source.elsewhere.evaluation,
                row.settings,
                seed,
                forms,
                source.hash,
                self.tune,
                row.printed.get(source.config.dataset),
                row.seconds.get(source.config.dataset),
                [*map(hashed, weights)],
            )

        return [
            cell(seed, source, row)
            for seed, source in product(self.seeds, sources.values())
            for row in self._rows(source.config)
        ]

    @property
    def _methods(self) -> list[str]:
        """Their names, quick ones first."""
        methods = METHODS if "all" in self.methods else self.methods
        return sorted(methods, key=lambda method: METHODS[method].fit is None)

    def _configs(self) -> dict[str, DataConfig]:
        known = paper_table(self.paper).datasets if self.paper else DATASETS
        named = self.datasets or (known if self.paper else ("emoji_scenes",))
        return self._named("dataset", named, known)

    @property
    def _elsewhere(self) -> dict[str, DataConfig]:
        """The dataset on which runs are measured, if it is another one."""
        of_paper = paper_table(self.paper).test_on if self.paper else None
        known = [of_paper] if of_paper else DATASETS
        named = self.test_on or of_paper
        return self._named("`test_on`", [named] if named else [], known)

    def _named(
        self, what: str, named: Iterable[str], known: Collection[str]
    ) -> dict[str, DataConfig]:
        """By name how datasets are loaded that are given as NAME or NAME=FOLDER."""
        configs = {}
        for given in named:
            dataset, _, folder = given.partition("=")
            choose(f"{what} of {self.paper}" if self.paper else what, dataset, known)
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
            spec, first = METHODS[method], next(iter(self._forms(Entry(method), data, 0).values()))
            few = hasattr(spec.config, "labelled_fraction")
            learns = spec.learns_from_labels(first.config) or few and self.labelled_fraction
            matters = {"labelled_fraction": few, "label_noise": learns}
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
        given = {"epochs": self.epochs, "minutes": self.minutes, "gradient_norms_every": 0}
        given = {k: v for k, v in given.items() if v is not None and hasattr(form.training, k)}
        given |= assigned(self.set, method, type(form.config), type(form.training))
        if given.get("strategy") == "multi_worker":
            raise InputError(
                f"`set` {method}.strategy=multi_worker has no place in a benchmark, which trains "
                "each row on one machine: leave it out; machines that share `to` share the rows."
            )
        return given
