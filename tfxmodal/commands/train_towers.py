"""Trains image tower and text encoder as classifiers of a dataset's classes, before DRSL.

DRSL (sections 3.2.1 and 3.4) takes its features from a VGG-19 fine-tuned on the training images,
and from a TextCNN trained on the training texts. The best epoch by validation is kept. Other
commands take what is in the folder by --towers.

Examples:
  python trainers/train_towers.py --dataset pascal_sentences --data-dir PASCAL --to towers/pascal
  python trainers/train_towers.py --to towers/scenes --modality text --word-vectors GoogleNews.bin
  python trainers/train_drsl.py --dataset pascal_sentences --data-dir PASCAL --towers towers/pascal

Watch it with: tensorboard --logdir towers
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tfxmodal.commands import cli
from tfxmodal.commands.training import run_epochs
from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import ImageEncoder, load_image_encoder, trained
from tfxmodal.encoders.image.augmentation import augmented
from tfxmodal.encoders.text.text_cnn import TokenIds
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.pixels import Pixels
from tfxmodal.inputs.raw import (
    check_raw,
    check_trainable,
    progress_bar,
    text_cnn_to_train,
    token_ids,
    without_bad,
)
from tfxmodal.lazy import keras
from tfxmodal.methods.gradient.encoder_classifier import EncoderClassifier
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.run_folder import RunFolder
from tfxmodal.training.summaries import Summaries


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    data: DataConfig = field(default_factory=DataConfig)

    to: Path | None = None
    """Folder of the trained towers, by default towers/DATASET; image/ and text/ in it are what
    other commands take, once they are finished."""

    modality: Literal["image", "text", "both"] = "both"
    """Which tower to train."""

    resume: bool = False
    """Go on with what was stopped in --to; a tower that is finished stays as it is."""

    epochs_image: int = 20
    """Passes over the training images."""

    epochs_text: int = 25
    """Passes over the training texts (Kim's code: 25)."""

    batch_size_image: int = 32
    """Images in the global batch."""

    batch_size_text: int = 50
    """Texts in the global batch (Kim: 50)."""

    learning_rate_image: float = 1e-5
    """Adam's: small, since Adam moves every weight by about the rate a step, whatever its gradient,
    and those of ImageNet are to be kept but for the last touch; about 1e-3 for random weights."""

    learning_rate_text: float = 1e-3
    """Adam's (Kim trains by Adadelta, which needs none)."""

    freeze: bool = False
    """Train only the fully connected layers of the image tower (DRSL: all layers)."""

    dropout: float = 0.5
    """Fraction of the features that is dropped before the classifier (Kim: .5)."""

    max_norm_text: float = 3.0
    """Largest norm of the weights of a class in the texts' classifier (Kim: 3)."""

    patience: int = 5
    """Validations without a better score before a tower's training stops early; 0 never stops."""

    seed: int = 0
    """Seed of the classifier's initial weights, epoch order, crops, flips and dropout."""

    memory_gb: float = 1.0
    """Largest training split, in GB of pixels or token ids, that is kept in memory; a larger one is
    decoded anew in every epoch, in the background."""


def defaults(dataset: str | None) -> Flags:
    """The defaults of a dataset."""
    return Flags(DataConfig.for_dataset(dataset or "emoji_scenes"))


def main(argv: list[str] | None = None):
    """Trains the towers that the command line names."""
    flags = cli.parse(Flags, __doc__, argv, defaults)
    folder = flags.to or Path("towers") / flags.data.dataset
    modalities = tuple(STAGES) if flags.modality == "both" else (flags.modality,)
    source = load(flags.data)
    check_raw(source, [f"{modality}s" for modality in modalities], "train_towers.py")
    check_labels(source)
    for modality in modalities:
        if not train(modality, flags, source, folder / modality):
            print("Stopped; the state is saved. Go on with the same flags and --resume.")
            return
    print(f"Their features: --towers {folder}")


def check_labels(source: Dataset):
    """Checks that there is something to classify by."""
    for name in ("train", "validation"):
        labels = getattr(source, name).labels
        if labels is None or not labels.any():
            raise InputError(
                f"The {name} split of {source.name} has no labels, and towers learn by classifying "
                "them: give labels, or use the towers as they are."
            )


def train(modality: str, flags: Flags, source: Dataset, folder: Path) -> bool:
    """Trains one tower; False where it was stopped before its end.

    Args:
        modality: `image` or `text`.
        flags: The command line.
        source: The pairs, with image files or captions.
        folder: Where the tower is kept; a run's folder while it is trained.
    """
    training = TrainingConfig(
        epochs=getattr(flags, f"epochs_{modality}"),
        batch_size=getattr(flags, f"batch_size_{modality}"),
        learning_rate=getattr(flags, f"learning_rate_{modality}"),
        patience=flags.patience,
        seed=flags.seed,
        memory_gb=flags.memory_gb,
    )
    config = {
        "method": "classifier",
        "data": dataclasses.asdict(flags.data),
        "classifier": {name: getattr(flags, name) for name in CLASSIFIER[modality]},
        "training": dataclasses.asdict(training),
    }
    run = RunFolder(folder, "--to")
    run.check(config, flags.resume)
    if (folder / FINISHED).exists():
        print(f"{folder} is finished.")
        return True

    # --- Tower, its rows and classifier, on every replica -------------------------------------
    strategy = make_strategy()
    with strategy.scope():
        stage = STAGES[modality](flags, source)
        keras.utils.set_random_seed(flags.seed)  # after the tower, which draws too
        limit = flags.max_norm_text if modality == "text" else None
        learner = EncoderClassifier(
            stage.train, f"{modality}s", stage.network, flags.dropout, limit
        )
        run.create(config)  # Not earlier: a mistake in the flags leaves no folder behind.
        trainer = Trainer(learner, stage.train, training, strategy, folder)
    if flags.resume and trainer.checkpoints.restore_last():
        print(f"Resuming after epoch {trainer.state.epoch}.")
    print(f"{modality} tower: {len(stage.train):,} training rows; folder {folder}")

    # --- Training, and the weights of the best epoch -------------------------------------------
    summaries = Summaries(folder / "logs")
    summaries.config(run.config)

    def validate():
        return learner.measure(stage.validation)

    if not run_epochs(trainer, validate, summaries, training.epochs):
        return False
    trainer.checkpoints.restore_best()
    stage.save(folder)
    best, (_, metrics) = trainer.state.best_epoch, validate()
    run.write_json(FINISHED, {"selected_epoch": best, "validation": metrics})
    for state in ("last", "best"):  # Three times as large as the tower, and of no more use.
        shutil.rmtree(folder / state)
    (score,) = (f"{name} {value:.3f}" for name, value in metrics.items())
    print(f"Best epoch {best} of {trainer.state.epoch}: validation {score}")
    return True


FINISHED = "metrics.json"
CLASSIFIER = {"image": ("dropout", "freeze"), "text": ("dropout", "max_norm_text")}


@dataclass(frozen=True)
class Stage:
    """A tower, and what it is trained on.

    Attributes:
        network: From raw rows to features `[batch, dim]`.
        train: Training rows with labels; the other modality has no columns.
        validation: Validation rows.
        save: Writes the tower to a folder.
    """

    network: keras.Model
    train: Pairs
    validation: Pairs
    save: Callable[[Path], None]


def image_stage(flags: Flags, source: Dataset) -> Stage:
    """The image tower on pictures without the crop, which training makes at random."""
    tower = load_image_encoder(flags.data.image_encoder, flags.data.image_weights)
    check_trainable(tower)
    if flags.freeze:
        freeze(tower)

    def rows(split: str) -> Pairs:
        pairs, side = getattr(source, split), tower.resize
        bar = progress_bar(f"{split} images", "image")
        pixels = Pixels(pairs.images, (side, side), flags.data.on_bad_image, bar)
        pairs = without_bad(split, pairs, pixels)
        return pairs.with_features(pixels, np.zeros([len(pairs), 0]))

    network = augmented(tower.model, tower.resize, tower.crop)
    return Stage(network, rows("train"), rows("validation"), lambda to: trained.save(tower, to))


def text_stage(flags: Flags, source: Dataset) -> Stage:
    """The text encoder on token ids."""
    encoder = text_cnn_to_train(flags.data, source.train.texts)

    def rows(split: str) -> Pairs:
        pairs = getattr(source, split)
        ids = token_ids(TokenIds(encoder), pairs.texts)
        return pairs.with_features(np.zeros([len(pairs), 0]), ids)

    return Stage(encoder.network, rows("train"), rows("validation"), encoder.save)


STAGES = {"image": image_stage, "text": text_stage}


def freeze(tower: ImageEncoder):
    """Lets training change the fully connected layers alone.

    Raises:
        InputError: If the tower has none.
    """

    def visit(model: keras.Model):
        for layer in model.layers:
            if isinstance(layer, keras.Model):
                visit(layer)
            else:
                layer.trainable = isinstance(layer, keras.layers.Dense)

    visit(tower.model)
    if not tower.model.trainable_variables:
        raise InputError(
            f"--freeze leaves nothing to train in {tower.name}, which has no fully connected "
            "layers: leave it out, or take vgg19."
        )
