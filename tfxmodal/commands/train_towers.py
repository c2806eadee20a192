"""Trains image and text encoders as classifiers of a dataset's classes, before DRSL.

DRSL (sections 3.2.1 and 3.4) takes its features from a VGG-19 fine-tuned on the training images,
and from a TextCNN trained on the training texts. The best epoch by validation is kept. Other
commands take what is in the folder by --encoders.

Examples:
  python trainers/train_towers.py --dataset pascal_sentences --data-dir PASCAL --to towers/pascal
  python trainers/train_towers.py --to towers/scenes --modality text --word-vectors GoogleNews.bin
  python trainers/train_drsl.py --dataset pascal_sentences --encoders towers/pascal

Watch it with: tensorboard --logdir towers
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal
from tfxmodal.errors import check_ranges
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.training.config import TrainingConfig


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    data: DataConfig = field(default_factory=DataConfig)

    to: Path | None = None
    """Folder of the trained encoders, by default towers/DATASET; image/ and text/ in it are what
    other commands take, once they are finished."""

    modality: Literal["image", "text", "both"] = "both"
    """Which encoder to train."""

    resume: bool = False
    """Go on with what was stopped in --to; an encoder that is finished stays as it is."""

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
    """Train only the fully connected layers of the image encoder (DRSL: all layers)."""

    dropout: float = 0.5
    """Fraction of the features that is dropped before the classifier (Kim: .5)."""

    max_norm_text: float = 3.0
    """Largest norm of the weights of a class in the texts' classifier (Kim: 3)."""

    patience: int = 5
    """Validations without a better score before a training stops early; 0 never stops."""

    seed: int = 0
    """Seed of the classifier's initial weights, epoch order, crops, flips and dropout."""

    strategy: Literal["mirrored", "multi_worker"] = "mirrored"
    """mirrored: every GPU of this machine, or its CPU. multi_worker: those of several machines; the
    same command runs on each, with TF_CONFIG of its own and a folder that all share
    (docs/scale.md)."""

    memory_gb: float = 1.0
    """Largest training split, in GB of pixels or token ids, that is kept in memory; a larger one is
    decoded again in every epoch, in the background."""

    def __post_init__(self):
        at_least_1 = ("epochs_image", "epochs_text", "batch_size_image", "batch_size_text")
        above_0 = ("learning_rate_image", "learning_rate_text", "max_norm_text")
        check_ranges(
            self,
            **dict.fromkeys(at_least_1, "[1, inf)"),
            **dict.fromkeys(above_0, "(0, inf)"),
            dropout="[0, 1)",
        )


def defaults(dataset: str | None) -> Flags:
    """The defaults of a dataset."""
    return Flags(DataConfig.for_dataset(dataset or "emoji_scenes"))


def main(argv: list[str] | None = None):
    """Trains the encoders that the command line names."""
    flags = cli.parse(Flags, __doc__, argv, defaults)

    from tfxmodal.inputs.raw import check_raw
    from tfxmodal.inputs.spec import MODALITIES
    from tfxmodal.training.encoder_training import check_labels, train_encoder
    from tfxmodal.training.interrupts import stop_signals

    folder = Path("towers") / flags.data.dataset if flags.to is None else flags.to
    modalities = MODALITIES if flags.modality == "both" else (flags.modality,)
    settings = {modality: encoder_settings(flags, modality) for modality in modalities}
    reporter = Terminal()
    source = load(flags.data, reporter.bar)
    check_raw(source, [f"{modality}s" for modality in modalities], "The training of encoders")
    check_labels(source)
    with stop_signals() as stop_asked:
        for modality, given in settings.items():
            place = folder / modality
            if not train_encoder(given, source, place, flags.resume, reporter, stop_asked):
                again = "the state is saved. Go on with the same flags and --resume."
                cli.stopped(stop_asked(), again)
    print(f"Their features: --encoders {folder}")


def encoder_settings(flags: Flags, modality: str):
    """What decides the training of an encoder."""
    from tfxmodal.training.encoder_training import EncoderSettings

    training = TrainingConfig(
        epochs=getattr(flags, f"epochs_{modality}"),
        batch_size=getattr(flags, f"batch_size_{modality}"),
        learning_rate=getattr(flags, f"learning_rate_{modality}"),
        patience=flags.patience,
        seed=flags.seed,
        strategy=flags.strategy,
        memory_gb=flags.memory_gb,
    )
    own = {"freeze": flags.freeze} if modality == "image" else {"max_norm": flags.max_norm_text}
    return EncoderSettings(modality, flags.data, training, flags.dropout, **own)
