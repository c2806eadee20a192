"""Measures a trained run: metrics, curves, t-SNE and retrieved items of a split.

The pairs are the run's own, or another dataset's: its images and texts then pass through the run's
image tower and text encoder, and relevance counts within that dataset, so that its classes may be
others. Everything is printed, and written to RUN/evaluation/NAME/.

Examples:
  python trainers/evaluate.py --run runs/scl-emoji_scenes --baseline pls random
  python trainers/evaluate.py --run runs/scl-coco --split validation
  python trainers/evaluate.py --run runs/scl-coco --dataset pascal_sentences --data-dir PASCAL
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from tfxmodal.commands import cli
from tfxmodal.errors import InputError
from tfxmodal.evaluation.results import draw, evaluate_split, print_table
from tfxmodal.inputs.config import HANDLING, PLACE, DataConfig
from tfxmodal.inputs.prepare import prepare
from tfxmodal.methods import CLOSED_FORM
from tfxmodal.training.run_folder import RunFolder, from_dict
from tfxmodal.training.trained_run import load_run


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/scl-coco."""

    dataset: str | None = None
    """Another dataset to measure the run on (SCL paper, table IV); by default the run's own."""

    data_dir: Path | None = None
    """Folder of that dataset, by default data/DATASET; without --dataset, the place where the run's
    own dataset is now."""

    dataset_options: tuple[str, ...] = ()
    """Options of that dataset, as in `--dataset-options year=2017`; without --dataset, by default
    the run's."""

    download: bool = False
    """Fetch COCO from its official host into the folder (20.4 GB), or go on with it."""

    split: Literal["test", "validation"] = "test"
    """The pairs to measure."""

    baseline: tuple[Literal[*CLOSED_FORM], ...] = ()
    """Methods to compare with, fitted on the training split of the run's own dataset: pls (linear
    partial least squares), semantic_matching (logistic regression in each modality, on the labels),
    random (scores without meaning)."""

    image_weights: str | None = None
    """Weights of the run's image tower, by default as in training; for a file that has moved."""

    on_bad_image: Literal["refuse", "skip"] | None = None
    """What to do when images cannot be read: end with a list, or leave their pairs out; by default
    as in training."""

    cache_dir: Path | None = None
    """Where features are kept, so that they are computed once; by default as in training."""

    name: str | None = None
    """Folder of the results under RUN/evaluation/; by default DATASET-SPLIT."""


def main(argv: list[str] | None = None):
    """Evaluates as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    run = load_run(flags.run)
    own, measured = data_configs(run.config["data"], flags)

    # --- Scorers: the run's, and those it is compared with -----------------------------------
    data = prepare(measured, run, [flags.split])
    scorers = {run.config["method"]: run.method.scorer()}
    if flags.baseline and run.end_to_end:
        raise InputError(
            f"--baseline learns from features, and {flags.run} was trained end to end, without: "
            "give a run that was trained on features."
        )
    if flags.baseline:
        learned = prepare(own, run, ["train", "validation"]).features
        seed = run.config["training"]["seed"]
        for name in flags.baseline:
            scorers[name] = CLOSED_FORM[name](learned.train, learned.validation, seed, tqdm)

    # --- Metrics, curves, pictures -----------------------------------------------------------
    features, source = getattr(data.features, flags.split), getattr(data.source, flags.split)
    results = {
        name: evaluate_split(scorer, features, source, data.encoder)
        for name, scorer in scorers.items()
    }
    metrics = {
        name: {"embedding_dim": each.images.shape[1]} | each.metrics
        for name, each in results.items()
    }
    name = flags.name or f"{measured.dataset}-{flags.split}"
    folder = RunFolder(flags.run / "evaluation" / name)
    folder.write_figures(draw(results, source, data.source.class_names))
    what = {"dataset": measured.dataset, "split": flags.split, "pairs": len(source)}
    folder.write_json("metrics.json", what | {"methods": metrics})
    print_table(metrics, f"{measured.dataset}, {len(source):,} {flags.split} pairs")
    print(f"Metrics and figures: {folder.path}")


def data_configs(recorded: dict, flags: Flags) -> tuple[DataConfig, DataConfig]:
    """How to load the pairs that the run learned from, and those to measure.

    Args:
        recorded: The group `data` of the run's configuration.
        flags: The command line.
    """
    own = with_given(from_dict(DataConfig, recorded), flags, HANDLING)
    if flags.dataset:
        place = {name: getattr(flags, name) for name in PLACE}
        return own, replace(own, dataset=flags.dataset, **place)
    own = with_given(own, flags, PLACE)
    return own, own


def with_given(config: DataConfig, flags, names: tuple[str, ...]) -> DataConfig:
    """A configuration with those of the named fields that the flags give."""
    given = {name: getattr(flags, name) for name in names if getattr(flags, name)}
    return replace(config, **given)
