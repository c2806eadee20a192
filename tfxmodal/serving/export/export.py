"""A trained run becomes two models for TensorFlow Serving: one to be batched, and one not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.serving.export.card import write_export_card
from tfxmodal.serving.export.config import ExportConfig
from tfxmodal.serving.export.examples import examples, rounding, write_examples
from tfxmodal.serving.export.gallery import load_galleries
from tfxmodal.serving.export.publishing import publish, version_of
from tfxmodal.serving.export.signatures import ServedRun
from tfxmodal.serving.export.writing import (
    describe,
    write_description,
    write_gallery,
    write_savedmodel,
)
from tfxmodal.serving.model_config import is_batchable, versions
from tfxmodal.serving.verification.verify import Report, verify_afresh
from tfxmodal.training.trained_run import TrainedRun

ENCODERS = {"image_encoder", "text_encoder"}
"""The networks that every model on a server has."""


def export_run(
    run: TrainedRun,
    to: str | Path,
    gallery: Sequence[str] = (),
    config: ExportConfig | None = None,
    report: Callable[[Report], None] = lambda report: None,
    reporter: Reporter = SILENT,
) -> list[Path]:
    """Exports a run as SavedModels with all preprocessing in their graphs.

    MODELS/NAME gets its next version, which embeds, scores and searches, and so does
    MODELS/NAME_matrix, which scores all pairs and must be served without batching. Both are written
    out of sight and verified in a fresh process, as a server would load them, before they take
    their number: what fails is not published.

    Args:
        run: The trained run; its data are loaded as `run.settings.data` says.
        to: MODELS/NAME; it is made, or gets a further version.
        gallery: What is searched, any number of: a split of the run's dataset, a folder of
            pictures, a manifest of pairs, a file of texts, or the folder of another run.
        config: How it is exported, by default as `ExportConfig` says.
        report: Is given what the verification of each model saw.
        reporter: Is told of the progress, and of what a gallery leaves out or has twice.

    Returns:
        The published versions: MODELS/NAME/VERSION and MODELS/NAME_matrix/VERSION.

    Raises:
        InputError: If the run has no networks, its encoders or the gallery cannot be had, `to` is
            no place for a model, or a version fails its verification.
    """
    to = Path(to)
    check_exportable(run)
    matrix = check_target(to)
    config = ExportConfig() if config is None else config
    with publish([to, matrix]) as folders:
        calibration = run.folder.calibration
        own = {  # The fingerprint is that of the weights before they are folded or rounded.
            "fingerprint": run.fingerprint,
            "calibration": calibration and asdict(calibration),
        }
        served = ServedRun(run, config.on_bad_input, config.top_k, config.weights)
        served.galleries, shown = load_galleries(gallery, served.run, run.settings.data, reporter)
        models = {to: served.signatures(), matrix: served.matrix_signatures()}
        for (base, signatures), folder in zip(models.items(), folders, strict=True):
            tables = served.tables() if base == to else []  # Scores of embeddings need none.
            outputs = write_savedmodel(folder, signatures, tables, served.half)
            found = examples(served, signatures)
            write_examples(folder, base.name, found)
            about = describe(base.name, served, signatures, outputs, found)
            about |= {"weights": config.weights, "rounding": rounding(served, found)} | own
            write_description(folder, about)
            if shown and folder is folders[0]:
                write_gallery(folder, shown)
            write_export_card(folder, run.folder, about)
        check(folders, report)
    return [version_of(folder) for folder in folders]


def check_exportable(run: TrainedRun):
    """Checks that a run embeds images and texts; how it was fitted does not matter.

    Raises:
        InputError: If its scorer has no networks.
    """
    if not ENCODERS <= run.method.networks.keys():
        raise InputError(
            f"{run.folder.path} is a run of {run.settings.method}, which has no networks that "
            "embed images and texts: export a run of another method."
        )


def check_target(to: Path) -> Path:
    """Checks that the next version may lie in a folder.

    Returns:
        The folder of the matrix of scores.

    Raises:
        InputError: If it has no name, is a version itself, or is of a model not to be batched; or
            if the folder of the matrix is of a model to be batched.
    """
    is_version = to.name.isdecimal() or (to / "saved_model.pb").exists()
    if is_version or to.name in ("", ".."):
        raise InputError(
            f"`to` is {str(to)!r}: give the model's folder, MODELS/NAME, of a name that is no "
            "number."
        )
    if not is_batchable(to):
        raise InputError(
            f"`to` {to} holds a model of another kind, the matrix of scores: give another name."
        )
    matrix = to.with_name(f"{to.name}_matrix")
    if versions(matrix) and is_batchable(matrix):
        raise InputError(
            f"`to` {to} puts its matrix of scores into {matrix}, which holds a model of another "
            "kind: give another name."
        )
    return matrix


def check(folders: list[Path], report: Callable[[Report], None]):
    """Verifies versions in a fresh process.

    Raises:
        InputError: If one fails; `report` is told of all.
    """
    reports = verify_afresh(folders)
    for each in reports:
        report(each)
    if not all(each.passed for each in reports):
        failed = next(result for each in reports for result in each.results if not result.passed)
        raise InputError(
            f"The export failed its verification ({failed.check}: {failed.seen}): nothing was "
            "published."
        )
