"""What a notebook calls: the commands' work as functions, with their flags as arguments."""

from __future__ import annotations

from pathlib import Path

from tfxmodal.data.pairs import Dataset
from tfxmodal.inputs.config import DataConfig
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.training.candidates import run_forms
from tfxmodal.training.experiment import RunResult
from tfxmodal.training.presets import Preset, forms_of
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.trained_run import TrainedRun


def train(
    method: str,
    dataset: str | Dataset = "emoji_scenes",
    run_dir: str | Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
    preset: Preset | None = None,
    **settings,
) -> RunResult:
    """Trains or fits a method, and measures it on the test split.

    Args:
        method: One of `METHODS`.
        dataset: A dataset's name, or one that is loaded.
        run_dir: The run's folder; by default a new one under `runs/`.
        resume: Go on with the run that is there.
        reporter: Is told of the progress; `commands.terminal.Terminal()` prints it.
        preset: `paper` or `recommended`: the defaults of the method; by default `recommended` for
            `pairs` and `features`, where validation chooses among several forms, else `paper`.
        **settings: What differs from these defaults, in every form, by the names of the command's
            flags: `epochs=20`, `image_encoder="efficientnet_lite0"`.

    Returns:
        The run's folder and its metrics; `load_run(result.folder)` opens it.

    Raises:
        InputError: If anything given is wrong.

    Examples:
        >>> import tfxmodal
        >>> result = tfxmodal.train("pls", "emoji_scenes", dataset_options=("size=100",))
        >>> 0 < result.metrics["test"]["map_all"]["average"] < 1
        True
    """
    loaded = dataset if isinstance(dataset, Dataset) else None
    name = dataset.name if isinstance(dataset, Dataset) else dataset
    if loaded:  # The run knows it again by how it was loaded.
        place = {"data_dir": loaded.data_dir, "dataset_options": loaded.options}
        settings = place | settings
    forms = forms_of(method, DataConfig.for_dataset(name), preset)
    return run_forms(
        {form: values.having(**settings) for form, values in forms.items()},
        None if run_dir is None else Path(run_dir),
        resume,
        dataset=loaded,
        reporter=reporter,
    )


def evaluate(
    run: TrainedRun,
    dataset: Dataset | None = None,
    split: str = "test",
    baselines: tuple[str, ...] = (),
    reporter: Reporter = SILENT,
) -> dict[str, dict]:
    """Measures a run on its own or another dataset, and draws; see `evaluate_run`.

    Args:
        run: A run that `load_run` opened.
        dataset: The pairs; by default the run's own, loaded as in training.
        split: `test` or `validation`.
        baselines: Methods in closed form to compare with.
        reporter: Is told of the progress.

    Returns:
        By method, the metrics that `metrics.json` holds.

    Raises:
        InputError: If the run cannot read the pairs.
    """
    done = evaluate_run(run, dataset, split=split, baselines=baselines, reporter=reporter)
    return done.metrics
