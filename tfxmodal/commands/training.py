"""The story of a training, told once for every gradient-trained method.

Load the pairs; turn images and texts into features (cached); train the networks; keep the best
epoch by validation; measure it on the test split; draw curves and retrieved items. Everything ends
up in one folder under runs/.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from tfxmodal.commands import cli
from tfxmodal.evaluation.protocol import evaluate_pairs, selection_score
from tfxmodal.evaluation.results import captions_or_ids, draw, evaluate_split, print_table
from tfxmodal.inputs.prepare import DataConfig, prepare
from tfxmodal.lazy import keras
from tfxmodal.methods import METHODS
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.interrupts import stop_signals
from tfxmodal.training.loop import Interrupted, NonFiniteLoss, Trainer
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.run_folder import RunFolder, choose_run_dir
from tfxmodal.training.summaries import Summaries


@dataclass(frozen=True)
class TrainingFlags:
    """Flags of every training; a command adds those of its method, under the method's name."""

    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    run_dir: Path | None = None
    """Folder of the run; by default a new one, runs/METHOD-DATASET, runs/METHOD-DATASET-2 and so
    on."""

    resume: bool = False
    """Go on with the run in --run-dir, by default the newest of this method and dataset."""


def with_preset(flags: TrainingFlags, dataset: str | None, presets: dict[str, dict]):
    """The defaults of a dataset, by group of flags, where they differ from the common ones.

    Args:
        flags: The method's common defaults.
        dataset: Name of the dataset, by default `emoji_scenes`.
        presets: Of each dataset the changed fields by group.
    """
    data = DataConfig.for_dataset(dataset or "emoji_scenes")
    changed = {
        group: replace(getattr(flags, group), **values)
        for group, values in presets.get(data.dataset, {}).items()
    }
    return replace(flags, data=data, **changed)


SPLITS = ("validation", "test")
"""Those that the best epoch is measured on; the test split is drawn."""


def train(name: str, flags: TrainingFlags):
    """Trains a method as its flags say.

    Args:
        name: The method's name in `METHODS`; `flags` has its config under that name.
        flags: The command line.
    """
    method_class, _ = METHODS[name]
    flags = replace(flags, data=flags.data.with_towers())
    config = {
        "method": name,
        "data": dataclasses.asdict(flags.data),
        name: dataclasses.asdict(getattr(flags, name)),
        "training": dataclasses.asdict(flags.training),
    }
    run = RunFolder(choose_run_dir(flags.run_dir, f"{name}-{flags.data.dataset}", flags.resume))
    run.check(config, flags.resume)

    strategy = make_strategy()

    # --- Data: pairs, then features; or pixels and words, for towers that are trained too -----
    end_to_end = getattr(getattr(flags, name), "end_to_end", False)
    with strategy.scope() if end_to_end else nullcontext():
        data = prepare(flags.data, end_to_end=end_to_end)
    pairs, validation = data.features.train, data.features.validation

    # --- Networks, on every replica ----------------------------------------------------------
    keras.config.set_dtype_policy(flags.training.precision)
    keras.utils.set_random_seed(flags.training.seed)  # after the tower, which draws too
    with strategy.scope():
        method = method_class(pairs, getattr(flags, name), **data.towers())
        run.create(config)  # Not earlier: a mistake in the flags leaves no folder behind.
        trainer = Trainer(method, pairs, flags.training, strategy, run.path)
    scorer = method.scorer()
    run.write_json("model.json", data.description())
    if data.encoder:
        data.encoder.save(run.path)
    if flags.resume and trainer.checkpoints.restore_last():
        print(f"Resuming after epoch {trainer.state.epoch}.")
    kept = "streamed from disk" if trainer.streams_from_disk else "kept in memory"
    print(
        f"{len(pairs):,} training pairs ({_size(pairs.images)} images, "
        f"{_size(pairs.texts)} texts), {kept}; {strategy.num_replicas_in_sync} replica(s); "
        f"run folder {run.path}"
    )

    # --- Training ----------------------------------------------------------------------------
    def validate():
        metrics = evaluate_pairs(scorer, validation)
        return selection_score(metrics), metrics

    summaries = Summaries(run.path / "logs")
    summaries.config(run.config)
    if not run_epochs(trainer, validate, summaries, flags.training.epochs):
        print(f"Stopped; the state is saved. Go on with: --run-dir {run.path} --resume")
        return

    # --- Evaluation of the best epoch --------------------------------------------------------
    trainer.checkpoints.restore_best()
    state = trainer.state
    metrics = {
        "selected_epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "pairs_per_second": state.pairs / max(state.seconds, 1e-9),
    }
    for split in SPLITS:
        features, source = getattr(data.features, split), getattr(data.source, split)
        results = evaluate_split(scorer, features, source, data.encoder)
        metrics[split] = results.metrics
        summaries.results(split, results.metrics, state.best_epoch)
    figures = draw({name.upper(): results}, source, data.source.class_names)
    run.write_figures(figures)
    for figure, png in figures.items():
        summaries.figure(figure, png, state.best_epoch)
    summaries.embeddings(results.images, results.texts, captions_or_ids(source))
    run.write_json("metrics.json", metrics)
    print_table({split: metrics[split] for split in SPLITS}, f"{name.upper()}, {run.path}")
    print(f"Best epoch {state.best_epoch} of {state.epoch}. Figures: {run.path}/figures")


def run_epochs(trainer: Trainer, validate, summaries: Summaries, epochs: int) -> bool:
    """Trains to the end under a progress bar; False where a signal stopped it before.

    Args:
        trainer: What trains; it goes on where its state is.
        validate: See `Trainer.epochs`.
        summaries: Where each epoch is logged.
        epochs: How many there are at most.

    Raises:
        InputError: If a loss term is no longer finite.
    """
    with stop_signals() as stop_asked, tqdm(total=epochs, unit="epoch") as bar:
        bar.update(trainer.state.epoch)

        def show_steps(done: int, steps: int):
            bar.set_postfix_str(f"step {done}/{steps}")

        try:
            for report in trainer.epochs(validate, stop_asked, show_steps):
                bar.update()
                bar.write(report.line())
                summaries.epoch(report)
        except Interrupted:
            return False
        except NonFiniteLoss as error:
            raise cli.InputError(str(error)) from error
    return True


def _size(features) -> str:
    """The size of a row: `4,096-D`, or `224 x 224 x 3` of a picture."""
    *sides, last = features.shape[1:]
    return " x ".join(map(str, [*sides, last])) if sides else f"{last:,}-D"
