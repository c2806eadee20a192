"""Trains DRSL: relation scores of images and texts, learned from their labels.

The steps: load the pairs; turn images and texts into features (cached); train two encoders and the
relation network; keep the best epoch by validation; measure it on the test split; draw curves and
retrieved items. Everything ends up in one folder under runs/.

Examples:
  python trainers/train_drsl.py                                 # embedded dataset, no download
  python trainers/train_drsl.py --dataset wikipedia --data-dir WIKIPEDIA --fusion multiplication
  python trainers/train_drsl.py --dataset pascal_sentences --data-dir PASCAL --towers towers/pascal
  python trainers/train_drsl.py --dataset pairs --data-dir my/pairs.jsonl

Watch a run with: tensorboard --logdir runs
"""

from dataclasses import dataclass, field, replace

from tfxmodal.commands import cli
from tfxmodal.commands.training import TrainingFlags, train, with_preset
from tfxmodal.methods.gradient.drsl import DRSLConfig


@dataclass(frozen=True)
class Flags(TrainingFlags):
    """Flags of this command."""

    drsl: DRSLConfig = field(default_factory=DRSLConfig)


PRESETS = {
    # Measured for this small set of several classes a picture: see the README's table.
    "emoji_scenes": {
        "drsl": {
            "encoder_batch_norm": True,
            "image_scaling": "standard",
            "text_scaling": "standard",
        },
        "training": {"learning_rate": 3e-4, "batch_size": 100, "epochs": 180},
    },
    # Section 3.4: the fully connected networks of each dataset.
    "pascal_sentences": {"drsl": {"hidden_units": ()}},
    "xmedianet": {"drsl": {"hidden_units": (1024, 1024), "encoder_batch_norm": True}},
}
"""Defaults of single datasets where they differ from the paper's common ones."""


def defaults(dataset: str | None) -> Flags:
    """The defaults of a dataset."""
    flags = Flags()
    # Fig. 4: converged after 100 to 150 epochs; the batch is the released code's.
    training = replace(flags.training, epochs=150, batch_size=200)
    return with_preset(replace(flags, training=training), dataset, PRESETS)


def main(argv: list[str] | None = None):
    """Trains DRSL as the command line says."""
    train("drsl", cli.parse(Flags, __doc__, argv, defaults))
