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

from dataclasses import dataclass, field

from tfxmodal.commands import cli
from tfxmodal.commands.training import TrainingFlags, train, with_preset
from tfxmodal.methods.gradient.scl import SCLConfig


@dataclass(frozen=True)
class Flags(TrainingFlags):
    """Flags of this command."""

    scl: SCLConfig = field(default_factory=SCLConfig)


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


def defaults(dataset: str | None) -> Flags:
    """The defaults of a dataset."""
    return with_preset(Flags(), dataset, PRESETS)


def main(argv: list[str] | None = None):
    """Trains SCL as the command line says."""
    train("scl", cli.parse(Flags, __doc__, argv, defaults))
