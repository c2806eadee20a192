"""Trains SCL: a common space of images and texts, learned without labels or with a few.

The steps: load the pairs; turn images and texts into features (cached); train two projectors;
keep the best epoch by validation; measure it on the test split; draw curves and retrieved items.
Everything ends up in one folder under runs/.

Examples:
  python trainers/train_scl.py                                  # embedded dataset, no download
  python trainers/train_scl.py --dataset coco --data-dir COCO   # official files in COCO/
  python trainers/train_scl.py --dataset pairs --data-dir my/pairs.jsonl
  python trainers/train_scl.py --dataset wikipedia --labelled-fraction 0.1

Watch a run with: tensorboard --logdir runs
"""

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
from tqdm import tqdm

from tfxmodal.methods.scl import SCL, SCLConfig
from tfxmodal.retrieval.evaluation import evaluate_pairs, selection_score
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.interrupts import stop_signals
from tfxmodal.training.loop import Interrupted, NonFiniteLoss, Trainer
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.run_folder import RunFolder, choose_run_dir
from tfxmodal.training.summaries import Summaries
from trainers import cli
from trainers.prepare import DataConfig, prepare
from trainers.results import captions_or_ids, draw, evaluate_split, print_table


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    data: DataConfig = field(default_factory=DataConfig)
    scl: SCLConfig = field(default_factory=SCLConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    run_dir: Path | None = None
    """Folder of the run; by default a new one, runs/scl-DATASET, runs/scl-DATASET-2 and so on."""

    resume: bool = False
    """Go on with the run in --run-dir, by default the newest of this dataset."""


def defaults(dataset: str | None) -> Flags:
    """The defaults of a dataset."""
    flags = Flags(DataConfig.for_dataset(dataset or "emoji_scenes"))
    own = PRESETS.get(flags.data.dataset, {})
    return replace(
        flags,
        scl=replace(flags.scl, **own.get("scl", {})),
        training=replace(flags.training, **own.get("training", {})),
    )


PRESETS = {
    # Measured for this small set of several classes a picture: see the README's table.
    "emoji_scenes": {
        "scl": {
            "output_activation": "linear",
            "image_scaling": "center",
            "text_scaling": "center",
            "beta": 100.0,
            "mi_negatives": 8,
        },
        "training": {"learning_rate": 1e-3, "batch_size": 128, "epochs": 120},
    },
    # The released code's weight of the contrastive term.
    "wikipedia": {"scl": {"beta": 100.0}},
}
"""Defaults of single datasets where they differ from the paper's common ones."""


def main(argv: list[str] | None = None):
    """Trains SCL as the command line says."""
    flags = cli.parse(Flags, __doc__, argv, defaults)
    config = {
        "method": "scl",
        "data": dataclasses.asdict(flags.data),
        "scl": dataclasses.asdict(flags.scl),
        "training": dataclasses.asdict(flags.training),
    }
    run = RunFolder(choose_run_dir(flags.run_dir, f"scl-{flags.data.dataset}", flags.resume))
    run.check(config, flags.resume)

    # --- Data: pairs, then features ----------------------------------------------------------
    data = prepare(flags.data)
    train, validation = data.features.train, data.features.validation

    # --- Networks, on every replica ----------------------------------------------------------
    keras.config.set_dtype_policy(flags.training.precision)
    keras.utils.set_random_seed(flags.training.seed)  # after the tower, which draws too
    strategy = make_strategy()
    with strategy.scope():
        method = SCL(train, flags.scl)
        run.create(config)  # Not earlier: a mistake in the flags leaves no folder behind.
        trainer = Trainer(method, train, flags.training, strategy, run.path)
    scorer = method.scorer()
    run.write_json("model.json", data.description())
    if data.encoder:
        data.encoder.save(run.path)
    if flags.resume and trainer.checkpoints.restore_last():
        print(f"Resuming after epoch {trainer.state.epoch}.")
    kept = "streamed from disk" if trainer.streams_from_disk else "kept in memory"
    print(
        f"{len(train):,} training pairs ({train.images.shape[1]:,}-D images, "
        f"{train.texts.shape[1]:,}-D texts), {kept}; {strategy.num_replicas_in_sync} replica(s); "
        f"run folder {run.path}"
    )

    # --- Training ----------------------------------------------------------------------------
    def validate():
        metrics = evaluate_pairs(scorer, validation)
        return selection_score(metrics), metrics

    summaries = Summaries(run.path / "logs")
    summaries.config(run.config)
    with stop_signals() as stop_asked, tqdm(total=flags.training.epochs, unit="epoch") as bar:
        bar.update(trainer.state.epoch)

        def show_steps(done: int, steps: int):
            bar.set_postfix_str(f"step {done}/{steps}")

        try:
            for report in trainer.epochs(validate, stop_asked, show_steps):
                bar.update()
                bar.write(report.line())
                summaries.epoch(report)
        except Interrupted:
            bar.close()
            print(f"Stopped; the state is saved. Go on with: --run-dir {run.path} --resume")
            return
        except NonFiniteLoss as error:
            raise cli.InputError(str(error)) from error

    # --- Evaluation of the best epoch --------------------------------------------------------
    trainer.checkpoints.restore_best()
    state = trainer.state
    metrics = {
        "selected_epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "pairs_per_second": state.pairs / max(state.seconds, 1e-9),
    }
    for name in ("validation", "test"):
        features, source = getattr(data.features, name), getattr(data.source, name)
        results = evaluate_split(scorer, features, source, data.encoder)
        metrics[name] = results.metrics
        summaries.results(name, results.metrics, state.best_epoch)
    figures = draw({"SCL": results}, source, data.source.class_names)
    run.write_figures(figures)
    for name, png in figures.items():
        summaries.figure(name, png, state.best_epoch)
    summaries.embeddings(results.images, results.texts, captions_or_ids(source))
    run.write_json("metrics.json", metrics)
    print_table({name: metrics[name] for name in ("validation", "test")}, f"SCL, {run.path}")
    print(f"Best epoch {state.best_epoch} of {state.epoch}. Figures: {run.path}/figures")


if __name__ == "__main__":
    cli.run(main)
