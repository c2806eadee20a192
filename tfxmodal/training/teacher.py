"""The trained run that a student learns from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.inputs.prepare import Prepared
from tfxmodal.inputs.spec import MODALITIES
from tfxmodal.methods import Fitted
from tfxmodal.methods.learner import Method
from tfxmodal.methods.spec import GLOBAL
from tfxmodal.training.run_folder import RunFolder
from tfxmodal.training.settings import Settings
from tfxmodal.training.trained_run import NETWORKS, load_run


def check_teacher(folder: Path):
    """Checks, before any work, that a run has networks that a student can learn from.

    Raises:
        InputError: If the folder holds no run, or one that learned nothing.
    """
    spec = Settings.from_json(RunFolder(folder).config).spec
    if spec.fit and not any((folder / NETWORKS).glob("*.keras")):
        raise InputError(
            f"`teacher` {folder} is a run of {spec.name}, which has no networks to learn from: "
            "give a run of another method."
        )


def teacher_of(folder: Path, data: Prepared, hashes: Mapping[str, str]) -> Method | Fitted:
    """The method of a trained run, for a student that reads the same features.

    Encoders are known by their fingerprints. Ready features have none: they are taken for those of
    the run where a split is one of its own, so that a student may have other training pairs.

    Args:
        folder: The run's folder.
        data: What the student reads.
        hashes: That of each of its splits.

    Raises:
        InputError: If it holds no trained run, or one that reads other features.
    """
    run = load_run(folder)
    if run.inputs.kinds != GLOBAL:
        read = " and ".join(run.inputs.kinds.values())
        raise InputError(
            f"`teacher` {folder} reads {read}, and a student reads features: give a run that was "
            "trained on features."
        )
    run.check_inputs(data.features.train)
    now, then = data.description(), dict(run.description)
    images, name = data.image_encoder, run.settings.data.image_encoder
    if images and images.is_known_by(then["image_encoder"], name):
        then["image_encoder"] = now["image_encoder"]
    for encoder in (f"{modality}_encoder" for modality in MODALITIES):
        if now[encoder] != then[encoder]:
            raise InputError(
                f"`teacher` {folder} reads features of the {encoder.replace('_', ' ')} "
                f"{then[encoder]}, and these are of {now[encoder]}: give the dataset and the "
                "encoders of that run."
            )
    own = then.get("hashes", hashes)  # A run of an earlier version does not know its pairs.
    ready = not (data.image_encoder and data.text_encoder)
    if ready and set(own.values()).isdisjoint(hashes.values()):
        raise InputError(
            f"`teacher` {folder} learned from another dataset of ready features, of which no split "
            "is one of this dataset's, so that nothing tells that their features are made alike: "
            "give the dataset of that run, or one with its validation or test split."
        )
    return run.method
