"""A trained run measured on a split of its own or another dataset, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfxmodal.data.label_noise import with_label_noise
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import between_trainings
from tfxmodal.evaluation.results import SplitResults, draw, evaluate_split
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.data_hash import data_hash
from tfxmodal.inputs.duplicates import tell_duplicates
from tfxmodal.inputs.prepare import Prepared
from tfxmodal.inputs.shared_space import check_shared_space
from tfxmodal.io.locks import LOCK, held
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.methods import METHODS
from tfxmodal.methods.few_labels import FewLabels
from tfxmodal.methods.spec import GLOBAL
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.training.config import FitConfig
from tfxmodal.training.model_card import weights_hash, write_card
from tfxmodal.training.run_folder import CARD, EVALUATION, METRICS, RunFolder
from tfxmodal.training.trained_run import TrainedRun


@dataclass(frozen=True)
class RunEvaluation:
    """What was measured.

    Attributes:
        folder: Where metrics and figures are.
        source: The split as it came.
        results: By method: the run's, then the baselines'. A baseline of a name that is taken,
            such as the run's own method by its default settings, is called `NAME, baseline`.
    """

    folder: RunFolder
    source: Pairs
    results: dict[str, SplitResults]

    @property
    def metrics(self) -> dict[str, dict]:
        """By method, the numbers that `metrics.json` holds."""
        return {
            name: {"embedding_dim": each.images.shape[1]} | each.metrics
            for name, each in self.results.items()
        }


def evaluate_run(
    run: TrainedRun,
    measured: DataConfig | Dataset | None = None,
    own: DataConfig | None = None,
    split: str = "test",
    baselines: Sequence[str] = (),
    name: str | None = None,
    reporter: Reporter = SILENT,
    figures: bool = True,
    dataset: Dataset | None = None,
) -> RunEvaluation:
    """Measures a run on a split, and writes metrics and figures to RUN/evaluation/NAME.

    Args:
        run: The run.
        measured: The pairs to measure, or how they are loaded; by default the run's own.
        own: How the pairs are loaded that baselines learn from, the run's own.
        split: `test` or `validation`.
        baselines: Methods in closed form to compare with, fitted on the run's training split with
            the labels that the run saw. Where a run of scl saw none (`labelled_fraction` 0),
            baselines that need labels see all.
        name: Of the folder; by default DATASET-SPLIT, and of pairs that are not the run's own
            DATASET-SPLIT-HASH.
        reporter: Is told of the progress.
        figures: Whether they are drawn.
        dataset: The pairs that `measured` stands for, where they are loaded already.

    Raises:
        InputError: If the pairs cannot be read as the run reads them, the run learned from them by
            `refit`, or a baseline cannot learn.
    """
    own = run.settings.data if own is None else own
    measured = own if measured is None else measured
    if baselines and run.inputs.kinds != GLOBAL:
        read = " and ".join(run.inputs.kinds.values())
        raise InputError(
            f"`baseline` learns from feature vectors, and {run.folder.path} reads {read}: give a "
            "run that was trained on features."
        )
    data = _prepared(run, measured, [split], reporter, dataset)
    features, source = getattr(data.features, split), getattr(data.source, split)
    config = run.settings.data if isinstance(measured, Dataset) else measured
    found = data_hash(source, config.cache_dir)
    pairs_are_own = _are_own(run, split, found, measured is own)
    title = measured.name if isinstance(measured, Dataset) else measured.dataset
    if name is None:
        name = f"{title}-{split}" if pairs_are_own else f"{title}-{split}-{found[:8]}"
    folder = RunFolder(run.folder.path / EVALUATION / name)
    with held(folder.path / LOCK, f"`name` {name} of {run.folder.path}"):
        scorers = {run.settings.method: run.scorer()}
        others = run.method.other_scorers().items()
        scorers |= {f"{run.settings.method}, {name}": scorer for name, scorer in others}
        if baselines:
            for baseline, scorer in _fitted(baselines, run, own, reporter).items():
                scorers[f"{baseline}, baseline" if baseline in scorers else baseline] = scorer
        tell_duplicates({split: source}, config.cache_dir, reporter)
        single = data.single_captions(split, config.cache_dir, reporter)
        results = {
            name: evaluate_split(scorer, features, source, single)
            for name, scorer in scorers.items()
        }
        if split == "validation" and pairs_are_own:
            run.folder.write_calibration(results[run.settings.method])
        done = RunEvaluation(folder, source, results)
        folder.write_measured(results[run.settings.method])
        known = data.known_words.get(split)
        what = {"dataset": title, "split": split, "pairs": len(source), "hash": found}
        what |= {"known_words": known, "weights": weights_hash(run.folder)}
        folder.write_json(METRICS, what | {"methods": done.metrics})
        if (run.folder.path / CARD).exists():  # Not while it is trained.
            write_card(run.folder)
        if figures:
            folder.write_figures(draw(results, data.source.class_names, reporter=reporter))
    return done


def _are_own(run: TrainedRun, split: str, found: str, loaded_as_own: bool) -> bool:
    """Whether pairs are those that a run knows as a split of its own.

    Args:
        run: The run.
        split: Which split.
        found: The hash of the pairs.
        loaded_as_own: Whether they were loaded from where the run's own are.

    Raises:
        InputError: If the run learned from them by `refit`.
    """
    hashes, training = run.description.get("hashes"), run.settings.training
    if hashes is None:  # A run of an earlier version does not know its pairs.
        hashes = {split: found} if loaded_as_own else {}
    own_validation = split == "validation" and loaded_as_own  # Some of it, if it has changed.
    refitted = isinstance(training, FitConfig) and training.refit
    if refitted and (own_validation or found == hashes.get("validation")):
        raise InputError(
            f"`split` {split} is among what {run.folder.path} has learned from, with `refit`: "
            "its metrics.json has those of before; measure test."
        )
    return found == hashes.get(split)


def _fitted(
    baselines: Sequence[str], run: TrainedRun, own: DataConfig, reporter: Reporter
) -> dict[str, Scorer]:
    """The scorers of methods in closed form that learn from what the run learned from.

    Those that can do with few labels see the run's, where it saw some.
    """
    prepared = _prepared(run, own, ["train", "validation"], reporter)
    train, validation = prepared.features.train, prepared.features.validation
    seed, noise = run.settings.training.seed, run.settings.data
    select_by = between_trainings(run.settings.training.select_by)
    of_run, few = run.settings.config, {}
    if getattr(of_run, "labelled_fraction", 0):
        few = {
            "labelled_fraction": of_run.labelled_fraction,
            "labelled_rows": of_run.labelled_rows,
        }
    train = with_label_noise(train, noise.label_noise, noise.label_noise_kind, seed)
    scorers = {}
    for baseline in baselines:
        spec = METHODS[baseline]
        spec.check(train)
        config = spec.config(**few) if issubclass(spec.config, FewLabels) else spec.config()
        if spec.shared_space(config):
            check_shared_space(train, prepared.image_encoder, prepared.text_encoder, reporter)
        seen = spec.seen(train, config, seed)
        fitted = spec.fit(seen, validation, config, select_by, seed, reporter.bar)
        scorers[baseline] = fitted.scorer()
    return scorers


def _prepared(
    run: TrainedRun,
    pairs: DataConfig | Dataset,
    splits: Sequence[str],
    reporter: Reporter,
    dataset: Dataset | None = None,
) -> Prepared:
    if isinstance(pairs, Dataset):
        return run.prepare(pairs, run.settings.data, splits, reporter)
    loaded = load(pairs, reporter.bar) if dataset is None else dataset
    return run.prepare(loaded, pairs, splits, reporter)
