"""Finished runs side by side: rows of runs that differ in the seed alone, tables of rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tfxmodal.benchmark.cells import told
from tfxmodal.benchmark.choice import Choice
from tfxmodal.errors import InputError, some_of
from tfxmodal.evaluation.per_query import DIRECTIONS, PerQuery
from tfxmodal.evaluation.significance import (
    bootstrap_means,
    holm,
    randomisation_test,
    samples_for,
)
from tfxmodal.inputs.spec import MODALITIES, InputSpec, MethodInputs
from tfxmodal.training.presets import OWN_DATA, nearest_preset
from tfxmodal.training.run_folder import (
    CURVES,
    EVALUATION,
    METRICS,
    MODEL,
    PER_QUERY,
    RunFolder,
)
from tfxmodal.training.settings import ENCODERS, Settings
from tfxmodal.training.summaries import LOGS, validation_scores

COLUMNS = (*DIRECTIONS, "average")
SETTINGS = ("unsupervised", "semi-supervised", "supervised")
LEVEL = 0.05
"""Below it a difference is called significant."""


class Result:
    """A finished run, as far as a comparison needs it.

    Attributes:
        folder: The run's folder.
        settings: How it was trained.
        metrics: Its `metrics.json`.
        test: The metrics of the test pairs that are compared: its own, or those of `evaluation`.

    Args:
        folder: The run's folder.
        evaluation: The name of its measurements on other pairs, by default on its own.
    """

    def __init__(self, folder: Path, evaluation: str | None = None):
        self.folder = folder
        self._run = RunFolder(folder)
        self.settings = Settings.from_json(self._run.config)
        self.metrics = self._run.read_json(METRICS)
        self._measured = RunFolder(folder / EVALUATION / evaluation) if evaluation else self._run
        measured = self._measured.read_json(METRICS)
        self.test = measured["methods"][self.settings.method] if evaluation else measured["test"]
        if not (self._measured.path / PER_QUERY).exists():
            raise InputError(
                f"The run {folder} has no {PER_QUERY}: it was measured by an earlier version; go "
                "on with its training by `resume`, which measures it again."
            )

    @cached_property
    def _about(self) -> dict:
        return self._run.read_json(MODEL)

    @cached_property
    def nearest_preset(self) -> tuple[str, dict[str, Any]]:
        """See there; of a choice `minutes` are those of all candidates together."""
        settings, minutes = self.settings, self.choice.minutes
        if minutes is not None and hasattr(settings.training, "minutes"):
            settings = settings.having(minutes=minutes)
        return nearest_preset(settings)

    @property
    def inputs(self) -> MethodInputs:
        """What the method reads."""
        return MethodInputs.from_json(self._about["inputs"])

    @property
    def hashes(self) -> Mapping[str, str]:
        """A hash of the pairs of each split."""
        return self._about["hashes"]

    @property
    def learned_through(self) -> dict[str, str]:
        """Its encoders and its teacher, by the fields that name them, each with its hash.

        Not those that validation chose, or whose weights the seed draws.
        """
        facts = self.choice.facts
        drawn = {
            "image_encoder": facts["image_weights"] == "random",
            "text_encoder": self.inputs.text.kind == "words",
        }
        return {
            name: f"{facts[name]} ({self._about[name]})"
            for name in (*ENCODERS, "teacher")
            if isinstance(facts.get(name), str) and self._about.get(name) and not drawn.get(name)
        }

    @property
    def pairs(self) -> str:
        """What people call its pairs: the dataset, or the user's own file or folder."""
        data = self.settings.data
        return data.data_dir.stem if data.dataset in OWN_DATA and data.data_dir else data.dataset

    @property
    def versions(self) -> str:
        """What trained it, for people."""
        told = self._about.get("versions", {"tfxmodal": "of an unknown version"})
        return ", ".join(f"{name} {version}" for name, version in told.items())

    @cached_property
    def choice(self) -> Choice:
        """What validation chose it from."""
        return Choice.of(self._run)

    @property
    def seed(self) -> int:
        """That of the training."""
        return self.settings.training.seed

    @cached_property
    def queries(self) -> PerQuery:
        """What was measured of each query of the test split."""
        return PerQuery.open(self._measured.path / PER_QUERY)

    @cached_property
    def shares(self) -> np.ndarray:
        """What each test pair adds to the number of each of `COLUMNS`, `[3, pairs]`."""
        ways = self.queries.by_pair()
        return np.concatenate([ways, ways.mean(axis=0, keepdims=True)])

    @property
    def curves(self) -> dict:
        """The curves of the test pairs, as `SplitResults.curves`; none without labels."""
        return self._measured.read_json(CURVES) if self.queries.labelled else {}

    @property
    def convergence(self) -> dict[int, float]:
        """The validation score of each epoch; none of a method in closed form."""
        return validation_scores(self.folder / LOGS, self.queries.labelled)


@dataclass(frozen=True)
class Row:
    """Runs that differ in the seed alone.

    Attributes:
        method: The method's name.
        variant: What differs from other rows of the method, by setting.
        results: At least one.
        printed: What a paper prints of it: mAP@all of both directions, and their average.
        printed_seconds: Likewise of the training and of the test.
    """

    method: str
    variant: Mapping[str, object]
    results: Sequence[Result]
    printed: Sequence[float] | None = None
    printed_seconds: Sequence[float] | None = None

    @property
    def title(self) -> str:
        """Its name for people."""
        return ", ".join([self.method, *told(self.variant)])

    @property
    def setting(self) -> str:
        """One of `SETTINGS`; without any label a semi-supervised method is unsupervised.

        Where `auto` chose several methods it is that of the one with the most labels.
        """

        def of(settings: Settings) -> str:
            unused = getattr(settings.config, "labelled_fraction", None) == 0
            return "unsupervised" if unused else settings.spec.setting

        return max((of(each.settings) for each in self.results), key=SETTINGS.index)

    @property
    def command(self) -> str:
        """The line that trains its first run, or chooses it again."""
        return self.results[0].choice.command

    @cached_property
    def scores(self) -> np.ndarray:
        """`[seeds, 3]`, in the order of `COLUMNS`."""
        return np.array([each.shares.sum(axis=1) for each in self.results])

    @property
    def means(self) -> np.ndarray:
        """`[3]`."""
        return self.scores.mean(axis=0)

    @property
    def deviations(self) -> np.ndarray | None:
        """`[3]`, over seeds; None of one seed."""
        return self.scores.std(axis=0, ddof=1) if len(self.scores) > 1 else None

    def settings_of(self, result: Result) -> str:
        """A preset, and the settings of one of its runs that differ from it but for `variant`."""
        preset, others = result.nearest_preset
        given = [f"{k}={_as_given(v)}" for k, v in others.items() if k not in self.variant]
        return "; ".join([preset, *given])

    @property
    def settings(self) -> str:
        """Those of all its runs."""
        return " or ".join(dict.fromkeys(map(self.settings_of, self.results)))

    def mean_of(self, fact: str) -> float:
        """The mean over seeds of a number in `metrics.json`."""
        return float(np.mean([each.metrics[fact] for each in self.results]))


@dataclass(frozen=True)
class Comparison:
    """Two rows of a table.

    Attributes:
        p: Of the randomisation test for each of `COLUMNS`, corrected over the table.
        least: Whether that of the averages is the smallest that the sign patterns can tell.
        difference: Of the averages.
        interval: The 95 % bootstrap interval of `difference`.
    """

    p: np.ndarray
    least: bool
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Table:
    """Rows on one test split.

    Attributes:
        name: That of the dataset.
        rows: By `SETTINGS`, at least one.
        about: What a reader needs to know of its numbers.
    """

    name: str
    rows: Sequence[Row]
    about: str = ""

    @property
    def printed(self) -> bool:
        """Whether a paper prints numbers of its rows."""
        return any(row.printed for row in self.rows)

    @property
    def printed_seconds(self) -> bool:
        """Whether a paper prints the seconds of its rows."""
        return any(row.printed_seconds for row in self.rows)

    @property
    def inputs(self) -> str:
        """What its methods read of an image and of a text, for people."""
        read = [result.inputs for row in self.rows for result in row.results]
        images, texts = (
            " or ".join(dict.fromkeys(_size(each.modality(name)) for each in read))
            for name in MODALITIES
        )
        return f"Read: {images} of an image, {texts} of a text."

    @property
    def mixed(self) -> str:
        """That its runs are of several versions, where they are, and what to do."""
        runs = Counter(result.versions for row in self.rows for result in row.results)
        if len(runs) == 1:
            return ""
        told = some_of([f"{count} by {versions}" for versions, count in runs.most_common()])
        return (
            f"Its runs were trained by several versions ({told}), which may differ in what they "
            "learn: remove the folders of one version's runs, and train them again by the other "
            "(results.csv tells the version of each)."
        )

    @property
    def uneven(self) -> str:
        """That its rows differ in their number of seeds, where they do."""
        seeds = [len(row.results) for row in self.rows]
        fewest, most = min(seeds), max(seeds)
        if fewest == most:
            return ""
        return f"Rows are of {fewest} to {most} seeds: the mean of fewer is less certain."

    @property
    def measure(self) -> str:
        """What its numbers are."""
        labelled = self.rows[0].results[0].queries.labelled
        return "mAP@all" if labelled else "mean of R@1, R@5 and R@10"

    @cached_property
    def comparisons(self) -> dict[tuple[int, int], Comparison]:
        """Any two rows, by their numbers, the smaller first."""
        pairs = list(combinations(range(len(self.rows)), 2))
        if not pairs:
            return {}
        shares = [np.array([each.shares for each in row.results]) for row in self.rows]
        means = np.array([of_row.mean(axis=0) for of_row in shares])  # [rows, 3, pairs]
        first, second = np.transpose(pairs)
        drawn_p = randomisation_test(means.swapaxes(0, 1))
        p = np.transpose([holm(each) for each in drawn_p])
        least = drawn_p[-1] <= 1 / (1 + samples_for(len(self.rows)))
        drawn = bootstrap_means([of_row[:, -1] for of_row in shares])
        low, high = np.percentile(drawn[:, first] - drawn[:, second], [2.5, 97.5], axis=0)
        averages = means[:, -1].sum(axis=1)
        return {
            (one, other): Comparison(
                p[k],
                bool(least[k]),
                float(averages[one] - averages[other]),
                (float(low[k]), float(high[k])),
            )
            for k, (one, other) in enumerate(pairs)
        }

    def p(self, one: int, other: int, column: int = -1) -> float:
        """The corrected p of two rows, 1 of a row and itself."""
        if one == other:
            return 1.0
        return float(self.comparisons[min(one, other), max(one, other)].p[column])

    def best(self, column: int = -1) -> tuple[int, int | None]:
        """The best row, and the second best where it is not significantly worse."""
        order = np.argsort([-row.means[column] for row in self.rows], kind="stable")
        best, second = int(order[0]), int(order[1]) if len(order) > 1 else None
        if second is not None and self.p(best, second, column) < LEVEL:
            second = None
        return best, second


def table_of(name: str, rows: Iterable[Row], about: str = "") -> Table:
    """A table of rows in any order."""
    return Table(name, sorted(rows, key=lambda row: SETTINGS.index(row.setting)), about)


def tables_of_runs(results: Sequence[Result]) -> list[Table]:
    """Tables of any runs: one a test split, and in it runs that differ in the seed alone a row.

    Raises:
        InputError: If there are none, or two are alike in their seed, too.
    """
    if not results:
        raise InputError("`runs` must name at least one finished run; received none.")
    return [
        table_of(name, _rows([each for each in results if each.hashes["test"] == of_test]))
        for of_test, name in _names(results, "test").items()
    ]


def _names(results: Sequence[Result], split: str) -> dict[str, str]:
    """By the hash of a split's pairs what people call them, with the hash where two are alike."""
    found: dict[str, list[str]] = {}
    for each in results:
        found.setdefault(each.hashes[split], []).append(each.pairs)
    names = {of_split: ", ".join(dict.fromkeys(pairs)) for of_split, pairs in found.items()}
    counts = Counter(names.values())
    return {of: name if counts[name] == 1 else f"{name} ({of})" for of, name in names.items()}


def _rows(results: Sequence[Result]) -> list[Row]:
    """Runs on one test split in rows, told apart by the settings in which they differ."""
    rows: dict[str, list[Result]] = {}
    facts: dict[str, tuple[str, dict, dict]] = {}
    names = {split: _names(results, split) for split in ("train", "validation")}
    for result in results:
        pairs = {split: of[result.hashes[split]] for split, of in names.items()}
        own = {"training_pairs": pairs["train"], "validation_pairs": pairs["validation"]}
        told_apart = result.choice.method, result.choice.facts | own, result.learned_through
        key = repr(told_apart)
        if result.seed in (other.seed for other in rows.get(key, ())):
            raise InputError(
                f"`runs` names two of the same settings and seed ({rows[key][0].folder} and "
                f"{result.folder}): name one of them."
            )
        rows.setdefault(key, []).append(result)
        facts[key] = told_apart
    found = []
    for key, of_row in rows.items():
        method, flat, through = facts[key]
        alike = [other for other in facts.values() if other[0] == method]
        variant = _differing(flat, [other for _, other, _ in alike])
        # Encoders follow from settings and pairs, where these differ.
        variant |= _differing(through, [other for _, same, other in alike if same == flat])
        found.append(Row(method, variant, of_row))
    return found


def _differing(facts: dict, others: Sequence[dict]) -> dict:
    """Those that are not the same in all others, but for the tuples of a choice."""
    return {
        name: value
        for name, value in facts.items()
        if not isinstance(value, tuple) and any(other.get(name) != value for other in others)
    }


def _as_given(value) -> str:
    """A setting's value as `set` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _size(read: InputSpec) -> str:
    """What a row is: `4,096-D`, or `49 x 512 (map)`."""
    shape = " x ".join(f"{side:,}" for side in read.shape)
    return f"{shape}-D" if read.kind == "global" else f"{shape} ({read.kind})"
