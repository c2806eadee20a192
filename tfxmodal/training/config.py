"""What every gradient-trained method's run can set."""

from dataclasses import dataclass
from typing import Literal

from tfxmodal.errors import check_ranges

SEEDS = "[0, 4294967295]"
"""The seeds that NumPy takes."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a method is trained. Where a default names no source, it is ours."""

    epochs: int = 200
    """Passes over the training pairs (SCL paper, sec. IV-A.2: 200)."""

    batch_size: int = 256
    """Pairs in the global batch, over all replicas (SCL paper,
    sec. IV-A.2: 256)."""

    learning_rate: float = 1e-4
    """Adam's learning rate (SCL paper, sec. IV-A.2: 0.0001)."""

    weight_decay: float = 0.0
    """Decoupled weight decay: each step shrinks every weight by this times the learning rate
    (papers: none)."""

    seed: int = 0
    """Seed of initial weights, epoch order and dropout."""

    strategy: Literal["mirrored", "multi_worker"] = "mirrored"
    """mirrored: every GPU of this machine, or its CPU. multi_worker: those of several machines; the
    same command runs on each, with TF_CONFIG of its own and a folder that all share
    (docs/scale.md)."""

    patience: int = 20
    """Validations without a better score before training stops early; 0 never stops (the papers
    train a fixed number of epochs and keep the best by validation, which is the same model)."""

    minutes: float = 0.0
    """Longest time of the training steps; the training then ends after the epoch under way, and
    keeps the best as ever. Stages have equal shares. 0: no limit."""

    validate_every: int = 1
    """Epochs between two validations (released SCL code: 1)."""

    gradient_norms_every: int = 10
    """Epochs between two measurements of the gradient norm that each loss term contributes; 0: none
    (to compile the first takes some seconds a stage)."""

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Arithmetic of the networks; losses, and image encoders, are always computed in float32."""

    feed: Literal["auto", "memory", "stream"] = "auto"
    """Keep the training features on the device, or stream them from the cache; auto decides by
    `memory_gb`."""

    memory_gb: float = 1.0
    """Largest training split, in GB of float32 features, that `auto` keeps on the device."""

    checkpoint_minutes: float = 10.0
    """Longest time between two checkpoints within an epoch."""

    select_by: Literal["auto", "map", "recall", "last"] = "auto"
    """The epoch whose networks are kept: auto, the best by mAP where the validation split has
    labels, as the papers' protocol has it even for methods that learn without them, else by recall;
    map; recall, the mean of R@1, R@5 and R@10, which needs no labels; last, the last epoch, so that
    nothing is selected and nothing stops early."""

    def __post_init__(self):
        at_least_1 = ("epochs", "batch_size", "validate_every")
        above_0 = ("learning_rate", "checkpoint_minutes")
        check_ranges(
            self,
            **dict.fromkeys(at_least_1, "[1, inf)"),
            **dict.fromkeys(above_0, "(0, inf)"),
            gradient_norms_every="[0, inf)",
            minutes="[0, inf)",
            weight_decay="[0, inf)",
            patience="[0, inf)",
            memory_gb="[0, inf)",
            seed=SEEDS,
        )


@dataclass(frozen=True)
class FitConfig:
    """How a method in closed form is fitted."""

    seed: int = 0
    """Seed of what is drawn: encoders with random weights, and what the method draws itself."""

    select_by: Literal["auto", "map", "recall"] = "auto"
    """What chooses the hyper-parameters on validation: auto is mAP where the pairs have labels, as
    in the papers, else recall; map; or recall, the mean of R@1, R@5 and R@10, which needs no
    labels."""

    refit: bool = False
    """Fit again, with the hyper-parameters that validation chose, on training and validation pairs
    together: the most that the pairs can give. The metrics of validation are those before it."""

    def __post_init__(self):
        check_ranges(self, seed=SEEDS)
