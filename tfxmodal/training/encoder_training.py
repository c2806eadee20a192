"""Image and text encoders trained as classifiers of a dataset's classes, before DRSL.

DRSL (sections 3.2.1 and 3.4) takes its features from a VGG-19 fine-tuned on the training images,
and from a TextCNN trained on the training texts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfxmodal.data.label_noise import with_label_noise
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.data.repeated import one_row_a_caption
from tfxmodal.encoders.image import ImageEncoder, Preprocessing, trained
from tfxmodal.encoders.image.augmentation import augmented
from tfxmodal.encoders.text.text_cnn import TokenIds
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.data_hash import data_hashes
from tfxmodal.inputs.pixels import Pixels
from tfxmodal.inputs.prepare import named_image_encoder
from tfxmodal.inputs.raw import (
    check_one_text,
    check_trainable,
    synchronize,
    text_cnn_to_train,
    token_ids,
    without_bad,
)
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.lazy import keras
from tfxmodal.methods.gradient.encoder_classifier import EncoderClassifier
from tfxmodal.training.checks import check_same_command, check_same_pairs
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.experiment import run_epochs
from tfxmodal.training.isolation import isolated
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.run_folder import METRICS, MODEL, RunFolder, claimed_by_chief
from tfxmodal.training.settings import check_continuing, plain
from tfxmodal.training.summaries import LOGS, Summaries
from tfxmodal.training.workers import Workers, begin


@dataclass(frozen=True)
class EncoderSettings:
    """What decides the training of one encoder.

    Attributes:
        modality: `image` or `text`.
        data: Which pairs, and which encoder.
        training: How it is trained.
        dropout: Fraction of the features that is dropped before the classifier.
        max_norm: Largest norm of the weights of a class in the classifier, or None for no limit.
        freeze: Train only the fully connected layers of the image encoder.

    Raises:
        InputError: If `data` names what a training of encoders cannot follow.
    """

    modality: str
    data: DataConfig
    training: TrainingConfig
    dropout: float = 0.5
    max_norm: float | None = None
    freeze: bool = False

    def __post_init__(self):
        if self.data.encoders is not None:
            raise InputError(
                f"`encoders` {self.data.encoders} takes the place of what is trained here: leave "
                "it out, or begin with one of its encoders by `image_weights` or `text_encoder`."
            )
        check_one_text(self.data)

    def to_json(self) -> dict:
        """What the folder's `config.json` holds."""
        own = {"image": ("dropout", "freeze"), "text": ("dropout", "max_norm")}[self.modality]
        classifier = {name: getattr(self, name) for name in own}
        groups = {"data": self.data, "classifier": classifier, "training": self.training}
        return plain({"method": "classifier"} | groups)


def check_labels(source: Dataset):
    """Checks that there is something to classify by.

    Raises:
        InputError: If the training or the validation split has no labels.
    """
    for name in ("train", "validation"):
        labels = getattr(source, name).labels
        if labels is None or not labels.any():
            raise InputError(
                f"The {name} split of {source.name} has no labels, and encoders learn by "
                "classifying them: give labels, or use the encoders as they are."
            )


def train_encoder(
    settings: EncoderSettings,
    source: Dataset,
    folder: Path,
    resume: bool = False,
    reporter: Reporter = SILENT,
    stop_asked: Callable[[], bool] = lambda: False,
) -> bool:
    """Trains one encoder, and keeps the weights of the best epoch; False where it was stopped.

    Args:
        settings: What decides the training.
        source: The pairs, with image files or captions.
        folder: Where the encoder is kept; a run's folder while it is trained.
        resume: Go on with what was stopped; an encoder that is finished stays as it is.
        reporter: Is told of the progress.
        stop_asked: See `run_experiment`.

    Raises:
        InputError: If anything the user gave is wrong.
    """
    workers = begin(settings.training, reporter)
    claim = RunFolder(folder, "to").claimed(resume)
    with workers.together(), claimed_by_chief(workers, claim, "to") as run:
        if begun := workers.from_chief(lambda: run.config if run.begun else None):
            check_continuing(begun, settings.to_json())
        check_same_command(workers, settings.to_json(), resume)
        hashes = data_hashes(source, settings.data.cache_dir)
        workers.check_same("data", lambda: hashes, "give all the same pairs")
        if begun:
            check_same_pairs(run, workers, hashes)
        if workers.from_chief((folder / METRICS).exists):
            reporter.say(f"{folder} is finished.")
            return True
        with isolated(settings.training.precision, settings.training.seed):
            return _train(settings, source, run, hashes, resume, reporter, stop_asked)


def _train(
    settings: EncoderSettings,
    source: Dataset,
    run: RunFolder,
    hashes: dict[str, str],
    resume: bool,
    reporter: Reporter,
    stop_asked: Callable[[], bool],
) -> bool:
    """The training itself; False where it was stopped before its end."""
    training, folder = settings.training, run.path

    # --- Encoder, its rows and classifier, on every replica ------------------------------------
    strategy = begin(training).strategy or make_strategy()
    workers = Workers(strategy)
    with strategy.scope():
        stage = STAGES[settings.modality](settings, source, reporter)
        noise = settings.data.label_noise, settings.data.label_noise_kind
        train = with_label_noise(stage.train, *noise, training.seed)
        keras.utils.set_random_seed(training.seed)  # after the encoder, which draws too
        learner = EncoderClassifier(
            train,
            f"{settings.modality}s",
            stage.network,
            settings.dropout,
            settings.max_norm,
        )
        if workers.is_chief:
            run.create(settings.to_json())  # Not earlier: a mistake leaves no folder behind.
            run.write_json(MODEL, {"hashes": hashes})
        trainer = Trainer(learner, train, training, strategy, folder)
    if resume and trainer.restore_last():
        reporter.say(f"Resuming after epoch {trainer.state.epoch}.")
    rows = f"{len(train):,} training rows"
    if without := train.unlabelled:
        rows += f", of which {without:,} have no label and are left out"
    reporter.say(f"{settings.modality} encoder: {rows}; folder {folder}")
    reporter = reporter if workers.is_chief else SILENT

    # --- Training, and the weights of the best epoch -------------------------------------------
    summaries = Summaries(folder / LOGS if workers.is_chief else None)
    summaries.config(settings.to_json())

    def validate():
        return learner.measure(stage.validation)

    if not run_epochs(trainer, validate, summaries, training.epochs, reporter, stop_asked):
        return False
    trainer.checkpoints.restore_best()
    workers.wait()  # They have read what is removed now.
    best = trainer.state.best_epoch

    def keep() -> str:
        stage.save(folder)
        _, metrics = validate()
        run.write_json(METRICS, {"selected_epoch": best, "validation": metrics})
        for state in ("last", "best"):  # Three times as large as the encoder, and of no more use.
            shutil.rmtree(folder / state)
        (score,) = (f"{name} {value:.3f}" for name, value in metrics.items())
        return score

    score = workers.from_chief(keep)
    reporter.say(f"Best epoch {best} of {trainer.state.epoch}: validation {score}")
    return True


@dataclass(frozen=True)
class Stage:
    """An encoder, and what it is trained on.

    Attributes:
        network: From raw rows to features `[batch, dim]`.
        train: Training rows with labels; the other modality has no columns.
        validation: Validation rows.
        save: Writes the encoder to a folder.
    """

    network: keras.Model
    train: Pairs
    validation: Pairs
    save: Callable[[Path], None]


def _image_stage(settings: EncoderSettings, source: Dataset, reporter: Reporter) -> Stage:
    """The image encoder on pictures without the crop, which training makes at random."""
    encoder = named_image_encoder(settings.data, settings.training.seed)
    check_trainable(encoder)
    synchronize(encoder.model)
    if settings.freeze:
        _freeze(encoder)

    side = encoder.preprocessing.resize
    squares = replace(encoder.preprocessing, crop=side)

    def rows(split: str) -> Pairs:
        pairs, pixels = _with_pixels(split, getattr(source, split), squares, settings, reporter)
        return pairs.with_features(pixels, np.zeros([len(pairs), 0]))

    network = augmented(encoder)
    return Stage(network, rows("train"), rows("validation"), lambda to: trained.save(encoder, to))


def _with_pixels(
    split: str, pairs: Pairs, how: Preprocessing, settings: EncoderSettings, reporter: Reporter
) -> tuple[Pairs, Pixels]:
    """The pairs whose pictures can be read, and those."""
    data, bar = settings.data, reporter.named(f"{split} images", "image")
    pixels = Pixels(pairs.images, how, data.cache_dir, data.on_bad_image, bar)
    return without_bad(split, pairs, pixels, data.cache_dir, reporter), pixels


def _text_stage(settings: EncoderSettings, source: Dataset, reporter: Reporter) -> Stage:
    """The text encoder on token ids."""
    data, train = settings.data, source.train
    each = data.captions == "each"
    splits = {name: one_row_a_caption(s) if each else s for name, s in source.splits()}
    captions = splits["train"].texts
    encoder = text_cnn_to_train(data, captions, settings.training.seed, reporter)
    if data.label_noise and data.on_bad_image == "skip" and train.has_image_files:
        # Which labels become wrong depends on the rows, which are to be those of the image encoder.
        train, _ = _with_pixels("train", train, Preprocessing(1, 1, ""), settings, reporter)
        splits["train"] = one_row_a_caption(train) if each else train

    def rows(split: str) -> Pairs:
        pairs = splits[split]
        ids = token_ids(TokenIds(encoder), pairs.texts)
        return pairs.with_features(np.zeros([len(pairs), 0]), ids)

    return Stage(encoder.network, rows("train"), rows("validation"), encoder.save)


STAGES = {"image": _image_stage, "text": _text_stage}


def _freeze(encoder: ImageEncoder):
    """Lets training change the fully connected layers alone.

    Raises:
        InputError: If the encoder has none.
    """

    def visit(model: keras.Model):
        for layer in model.layers:
            if isinstance(layer, keras.Model):
                visit(layer)
            else:
                layer.trainable = isinstance(layer, keras.layers.Dense)

    visit(encoder.model)
    if not encoder.model.trainable_variables:
        raise InputError(
            f"`freeze` leaves nothing to train in {encoder.name}, which has no fully connected "
            "layers: leave it out, or take vgg19."
        )
