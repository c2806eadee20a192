"""A training as one call: what a command prints and the benchmark repeats.

Load the pairs; turn images and texts into what the method reads (cached); train or fit; keep what
validation prefers; measure it on the test split; draw curves and retrieved items. Everything ends
up in one folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tfxmodal.data.databases import joined
from tfxmodal.data.label_noise import with_label_noise
from tfxmodal.data.pairs import Dataset
from tfxmodal.encoders.text import open_text_encoder, saved_in
from tfxmodal.evaluation.figures import figure_png
from tfxmodal.evaluation.protocol import between_trainings, evaluate_pairs, selection_score
from tfxmodal.evaluation.results import captions_or_ids, draw, evaluate_split
from tfxmodal.inputs.config import load
from tfxmodal.inputs.data_hash import data_hashes
from tfxmodal.inputs.duplicates import tell_duplicates
from tfxmodal.inputs.prepare import Prepared, prepare
from tfxmodal.inputs.spec import RAW
from tfxmodal.inputs.unread import check_given
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.lazy import keras
from tfxmodal.methods import Fitted
from tfxmodal.methods.learner import Method
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.training.checks import check_pairs, check_same_command, check_same_inputs
from tfxmodal.training.interrupts import asking
from tfxmodal.training.isolation import isolated
from tfxmodal.training.loop import Interrupted, Trainer
from tfxmodal.training.model_card import versions, weights_hash, write_card
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.run_folder import (
    METRICS,
    MODEL,
    OF_ITS_END,
    RunFolder,
    claimed_by_chief,
    claimed_run,
)
from tfxmodal.training.settings import Settings
from tfxmodal.training.summaries import LOGS, Summaries
from tfxmodal.training.teacher import teacher_of
from tfxmodal.training.trained_run import save_fitted
from tfxmodal.training.workers import Workers, begin

MEASURED = ("validation", "test")
"""Splits that the chosen model is measured on; the test split is drawn."""


@dataclass(frozen=True)
class RunResult:
    """What a training left.

    Attributes:
        folder: The run's folder, from which `load_run` opens it.
        settings: What decided the run.
        metrics: `metrics.json`: the metrics of each split and how long it took; empty where the
            training was stopped before its end.
    """

    folder: Path
    settings: Settings
    metrics: dict

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return bool(self.metrics)


def run_experiment(
    settings: Settings,
    run_dir: Path | None = None,
    resume: bool = False,
    dataset: Dataset | None = None,
    reporter: Reporter = SILENT,
    stop_asked: Callable[[], bool] = lambda: False,
    splits: Sequence[str] = MEASURED,
    shared: dict | None = None,
    figures: bool = True,
    keep: bool = False,
) -> RunResult:
    """Trains one method on one dataset, and measures it.

    Args:
        settings: What to train, on what, and how.
        run_dir: The run's folder; by default a new one, runs/METHOD-DATASET, runs/METHOD-DATASET-2
            and so on.
        resume: Go on with the run in `run_dir`, by default the newest of this method and dataset.
        dataset: The pairs, where they are not to be loaded as `settings` says.
        reporter: Is told of the progress.
        stop_asked: Asked every few seconds of a training; when true its state is saved and it ends.
        splits: What the chosen model is measured on.
        shared: Where trainings on one dataset leave the features that others of them can read.
        figures: Whether the test split is drawn, where it is measured.
        keep: Whether a run that came to its end by these settings stays as it is; else it is
            measured again, and of a method in closed form fitted again.

    Raises:
        InputError: If anything the user gave is wrong, or a loss is no longer finite.
    """
    settings = replace(settings, data=settings.data.with_trained_encoders())
    workers = begin(settings.training, reporter)
    claim = claimed_run(run_dir, f"{settings.method}-{settings.data.dataset}", resume)
    with workers.together(), claimed_by_chief(workers, claim) as run:
        return run_claimed(
            settings, run, resume, dataset, reporter, stop_asked, splits, shared, figures, keep
        )


def run_claimed(
    settings,
    run,
    resume,
    dataset,
    reporter,
    stop_asked,
    splits=MEASURED,
    shared=None,
    figures=True,
    keep=False,
) -> RunResult:
    """Trains and measures, in a folder that no others use than the workers of the training."""
    # --- What can be known before any work -----------------------------------------------------
    workers = begin(settings.training)
    if begun := workers.from_chief(lambda: run.config if run.begun else None):
        settings = settings.continuing(Settings.from_json(begun))
    check_same_command(workers, settings.to_json(), resume)
    source = load(settings.data, reporter.bar) if dataset is None else dataset
    spec, seed = settings.spec, settings.training.seed
    check_pairs(settings, source, reporter)
    config, decision = spec.decide(settings.config, source.train, settings.data)
    settings = replace(settings, config=config)
    if decision:
        reporter.say(decision)
    kinds = spec.inputs(settings.config)
    raw = not RAW.isdisjoint(kinds.values())
    if not begun:  # One of an earlier version goes on as it began.
        check_given(source, settings.data, kinds, alone=shared is None)

    # --- Inputs, and the method -----------------------------------------------------------------
    strategy = (workers.strategy or make_strategy()) if spec.learner else None
    # A run goes on with its vocabulary, which an earlier version may have made.
    texts = partial(open_text_encoder, run.path) if saved_in(run.path) else None
    shared = {} if shared is None or texts or raw else shared
    shared_space = spec.shared_space(settings.config)
    # Wrong labels come later, and of encoders those with random weights alone have a seed.
    features_of = replace(settings.data, label_noise=0.0, label_noise_kind="symmetric")
    encoder_seed = seed if features_of.image_weights == "random" else None
    what = features_of, *kinds.values(), encoder_seed, shared_space
    if what not in shared:
        # What is trained end to end has its encoders' variables on every replica, too.
        with strategy.scope() if strategy and raw else nullcontext():
            shared[what] = prepare(
                source,
                settings.data,
                kinds,
                text_encoder=texts,
                seed=seed,
                reporter=reporter,
                shared_space=shared_space,
            )
        tell_duplicates(dict(shared[what].source.splits()), settings.data.cache_dir, reporter)
    data = shared[what]
    about = _about(settings, data)
    if begun:
        began = Settings.from_json(begun)
        check_same_inputs(run, workers, about, began.data, settings.data, data.image_encoder)
        same = settings.deciding() == began.deciding()
        if keep and same and workers.from_chief((run.path / METRICS).exists):
            return RunResult(run.path, settings, workers.from_chief(lambda: run.read_json(METRICS)))
    data = replace(data, features=_as_seen(settings, data.features, seed))
    precision = settings.training.precision if spec.learner else "float32"
    with isolated(precision, seed):
        outcome: _Outcome | None
        if spec.fit:
            outcome = _fit(settings, run, data, about, reporter)
        else:
            outcome = _train(settings, run, data, about, strategy, resume, reporter, stop_asked)

        # --- Evaluation of what was chosen ------------------------------------------------------
        metrics = {}
        if outcome is not None:
            measure = partial(_measure, settings, run, data, outcome, splits, reporter, figures)
            metrics = workers.from_chief(measure)
    return RunResult(run.path, settings, metrics)


def _as_seen(settings: Settings, features: Dataset, seed: int) -> Dataset:
    """The dataset with those training labels that the method may see, wrong ones among them."""
    rate, kind = settings.data.label_noise, settings.data.label_noise_kind
    train = with_label_noise(features.train, rate, kind, seed)
    return features.replace_splits(train=settings.spec.seen(train, settings.config, seed))


@dataclass(frozen=True)
class _Outcome:
    """A method as it was trained, what `metrics.json` tells of the training, and its log.

    `chosen` is the method as validation chose it, where it has since learned from those pairs, too.
    """

    method: Method | Fitted
    facts: dict
    summaries: Summaries
    chosen: Fitted | None = None

    def scorer(self, split: str) -> Scorer:
        """That of the method, or on validation of the one that had not seen it."""
        return (self.chosen if split == "validation" and self.chosen else self.method).scorer()


def _about(settings: Settings, data: Prepared) -> dict:
    """What `model.json` tells of the data, and of the run that is learned from."""
    hashes = data_hashes(data.source, settings.data.cache_dir)
    folder = getattr(settings.config, "teacher", None)
    teacher = weights_hash(RunFolder(folder)) if folder else None
    about = {"hashes": hashes, "teacher": teacher, "versions": versions()}
    transductive = settings.spec.transductive(settings.config)
    return data.description() | about | {"transductive": transductive}


def _begin(settings: Settings, run: RunFolder, data: Prepared, about: dict) -> Summaries:
    """Writes what the run is, once nothing that the user gave can be wrong any more."""
    run.create(settings.to_json())
    for name in OF_ITS_END:  # What they tell of an earlier end is no longer true.
        (run.path / name).unlink(missing_ok=True)
    run.write_json(MODEL, about)
    if data.text_encoder:
        data.text_encoder.save(run.path)
    summaries = Summaries(run.path / LOGS)
    summaries.config(run.config)
    return summaries


def _train(settings, run, data, about, strategy, resume, reporter, stop_asked) -> _Outcome | None:
    """Trains by gradients; None where the training was stopped."""
    pairs, validation, training = data.features.train, data.features.validation, settings.training
    workers = Workers(strategy)
    workers.check_same("data", lambda: about, "give all the same pairs")
    with strategy.scope():
        method = settings.spec.learner(data.inputs, settings.config)
        if folder := getattr(settings.config, "teacher", None):
            method.learn_from(teacher_of(folder, data, about["hashes"]))
        method.adapt(pairs, validation, between_trainings(training.select_by), reporter.bar)
        trainer = Trainer(method, pairs, training, strategy, run.path)
    summaries = _begin(settings, run, data, about) if workers.is_chief else Summaries(None)
    if resume and trainer.restore_last():
        if not trainer.ended_by:
            anew = ", with a new optimizer" * trainer.state.finished
            reporter.say(f"Resuming after epoch {trainer.state.epoch}{anew}.")
    kept = "streamed from disk" if trainer.streams_from_disk else "kept in memory"
    reporter.say(
        f"{len(pairs):,} training pairs ({_size(pairs.images)} images, {_size(pairs.texts)} "
        f"texts), {kept}; {strategy.num_replicas_in_sync} replica(s); run folder {run.path}"
    )
    reporter = reporter if workers.is_chief else SILENT
    scorer = method.scorer()

    def validate():
        method.settle(pairs)
        metrics = evaluate_pairs(scorer, validation)
        return selection_score(metrics, training.select_by), metrics

    if not run_epochs(trainer, validate, summaries, trainer.most_epochs, reporter, stop_asked):
        return None
    trainer.finish()
    trainer.checkpoints.restore_best()
    state = trainer.state
    facts = {
        "selected_epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "pairs_per_second": state.pairs / max(state.seconds, 1e-9),
    }
    return _Outcome(method, facts, summaries)


def _fit(settings, run, data, about, reporter) -> _Outcome:
    """Fits in closed form."""
    start, fitting, chosen = time.perf_counter(), settings.training, None
    spec, test, also = settings.spec, data.features.test, {}
    if about["transductive"]:
        asking, _ = test.sides  # Those that are searched may be training pairs.
        also["test"] = test.images[asking], test.texts[asking]

    def fit(train, config):
        validation, by, seed = data.features.validation, fitting.select_by, fitting.seed
        return spec.fit(train, validation, config, by, seed, reporter.bar, **also)

    train, config = data.features.train, settings.config
    if fitting.refit:
        both = joined([train, data.features.validation])
        again = spec.refit(config, len(train), len(both))
    fitted = fit(train, config)
    if fitting.refit:
        chosen = fitted
        given = {name: each for name, each in chosen.chosen.items() if hasattr(config, name)}
        fitted = fit(both, replace(again, **given))
        fitted = replace(fitted, chosen=chosen.chosen, tried=chosen.tried)
    seconds = time.perf_counter() - start
    summaries = _begin(settings, run, data, about)
    save_fitted(run, fitted)
    run.write_json(MODEL, about | {"chosen": dict(fitted.chosen)})
    facts = {"chosen": dict(fitted.chosen), "tried": dict(fitted.tried), "seconds": seconds}
    if about["transductive"]:
        facts["transductive"] = True
    return _Outcome(fitted, facts, summaries, chosen)


def _measure(settings, run, data: Prepared, outcome: _Outcome, splits, reporter, figures) -> dict:
    """Metrics of each split; of the test split each query's, curves, and figures."""
    summaries, step = outcome.summaries, outcome.facts.get("selected_epoch", 0)
    metrics = outcome.facts | {"parameters": parameters(outcome.method.networks.values())}
    results = {}
    for split in splits:
        features, source = getattr(data.features, split), getattr(data.source, split)
        single = data.single_captions(split, settings.data.cache_dir, reporter)
        scorer, start = outcome.scorer(split), time.perf_counter()
        results[split] = evaluate_split(scorer, features, source, single)
        if split == "test":
            metrics["test_seconds"] = time.perf_counter() - start
        metrics[split] = results[split].metrics
        summaries.results(split, metrics[split], step)
    if "validation" in results:
        run.write_calibration(results["validation"])
    if "test" in results:
        metrics["embedding_dim"] = results["test"].images.shape[1]
        run.write_measured(results["test"])
    run.write_json(METRICS, metrics)
    write_card(run)
    if figures and "test" in results:
        _draw(settings, run, data, results["test"], outcome, step, reporter)
    return metrics


def parameters(networks: Iterable[keras.Model]) -> int:
    """How many numbers networks hold, those that they share once."""
    variables = {id(each): each for network in networks for each in network.variables}
    return sum(math.prod(each.shape) for each in variables.values())


def _draw(settings, run, data: Prepared, test, outcome: _Outcome, step, reporter):
    """Figures of the test split, in the run's folder and for TensorBoard."""
    summaries = outcome.summaries
    figures = draw({settings.method.upper(): test}, data.source.class_names, reporter=reporter)
    if isinstance(outcome.method, Method):
        own = outcome.method.figures(data)
        figures |= {name: figure_png(figure) for name, figure in own.items()}
    run.write_figures(figures)
    for name, png in figures.items():
        summaries.figure(name, png, step)
    summaries.embeddings(test.images, test.texts, captions_or_ids(data.source.test))


def run_epochs(
    trainer: Trainer,
    validate,
    summaries: Summaries,
    epochs: int,
    reporter: Reporter,
    stop_asked: Callable[[], bool],
) -> bool:
    """Trains to the end; False where it was stopped before.

    Args:
        trainer: What trains; it goes on where its state is.
        validate: See `Trainer.epochs`.
        summaries: Where each epoch is logged.
        epochs: How many there are at most.
        reporter: Is told of steps and epochs, and why there are no more.
        stop_asked: See `Trainer.epochs`.

    Raises:
        InputError: If a loss term is no longer finite.
    """
    reporter.training(epochs, trainer.state.epoch)
    try:
        with asking():
            for report in trainer.epochs(validate, stop_asked, reporter.step):
                reporter.epoch(report)
                summaries.epoch(report)
    except Interrupted:
        return False
    finally:
        reporter.trained()
    reporter.say(f"No epoch follows epoch {trainer.state.epoch}: {trainer.ended_by}.")
    return True


def _size(features) -> str:
    """The size of a row: `4,096-D`, or `224 x 224 x 3` of a picture."""
    *sides, last = features.shape[1:]
    return " x ".join(map(str, [*sides, last])) if sides else f"{last:,}-D"
