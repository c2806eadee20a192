"""The hyper-parameters of SCL, and what decides those that are left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.inputs.config import DataConfig
from tfxmodal.lazy import tf
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.scaled_features import ScaledFeatures

FEW_NEGATIVES, SMALL_SET = 8, 64
"""What `auto` of `mi_negatives` takes on a CPU, and up to how many pairs it takes all there."""


@dataclass(frozen=True)
class SCLConfig(ScaledFeatures, Binary):
    """SCL; equations and sections are the paper's.

    Its ablations: alpha 0 without MI, beta 0 without CD, --no-share-last-layer without WS.
    """

    hidden_units: int = 1024
    """Units of each projector's first layer (sec. IV-A.2: 1,024)."""

    embedding_dim: int = 512
    """Dimensions of the common space (sec. IV-A.2: 512)."""

    share_last_layer: bool = True
    """Share the projectors' last layer between the modalities (sec. III-A)."""

    start: Literal["random", "pls", "ridge_cca", "linear", "zero_shot"] = "random"
    """What the projectors begin as (paper: random). Ours: the linear map of pls or ridge_cca that
    validation prefers; linear, the better of both; or zero_shot, the shared space of both encoders
    as it is. The paper's projectors are added to it before the normalisation, and their last layer
    starts at zero. So the first scores are the linear map's, validation may keep them, and the
    result is never below it there."""

    dropout: float = 0.0
    """Fraction dropped after each ReLU of the projectors (paper: none; released code: .5)."""

    output_activation: Literal["relu", "linear"] = "relu"
    """Activation of the last layer (sec. IV-A.2: ReLU, so cosines are never negative). Linear is
    ours: measured, it reaches further where items share some of several classes."""

    alpha: float = 0.01
    """Weight of mutual information in equation (8) (sec. IV-A.2: .01)."""

    beta: float = 1.0
    """Weight of contrastive discrimination in equation (8) (sec. IV-A.2: 1; stable in 1..1000,
    fig. 5; released code for Wikipedia: 100)."""

    temperature: float = 0.5
    """tau of equations (7) and (12) (sec. IV-A.2: .5)."""

    invariance_norm: Literal["rows", "frobenius"] = "rows"
    """Norm of equation (1): mean over the pairs' distances (released code), or of the matrix."""

    positive_in_denominator: bool = False
    """Whether the sum below in equation (7) holds the positive (paper, released code: no)."""

    mi_negatives: int | Literal["auto"] = 0
    """Negatives of each positive in equations (2) to (5): 0 for all others of the batch (paper), or
    a number, which divides the cost of the term by batch size over it (ours); auto (ours, the
    default of pairs and features): 8 on a CPU for more than 64 training pairs, else all."""

    labelled_fraction: float = 0.0
    """Fraction of the training pairs that have labels whose labels are used: 0 is unsupervised,
    equation (8); more is semi-supervised, equation (15) (table III: .05, .1, .3)."""

    labelled_rows: Literal["stratified", "first"] = "stratified"
    """Which pairs those are: the same share of every class, or the first rows (released code)."""

    gamma: float = 10.0
    """Weight of class-aware contrast in equation (13) (paper: silent; released code: 10)."""

    unsupervised_weight: float = 1.0
    """lambda, weight of L_U in equation (15) (paper: silent; released code: 1)."""

    def __post_init__(self):
        check_bits(self)
        weights = ("alpha", "beta", "gamma", "unsupervised_weight")
        check_ranges(
            self,
            hidden_units="[1, inf)",
            embedding_dim="[1, inf)",
            dropout="[0, 1)",
            temperature="(0, inf)",
            labelled_fraction="[0, 1]",
            **dict.fromkeys(weights, "[0, inf)"),
        )
        if self.mi_negatives != "auto":
            check_ranges(self, mi_negatives="[0, inf)")
        if self.start != "random" and self.output_activation != "linear":
            raise InputError(
                f"`start` {self.start} needs `output_activation` linear: a linear map has scores "
                f"below 0, too; received {self.output_activation}."
            )


def decided(config: SCLConfig, train: Pairs, data: DataConfig) -> tuple[SCLConfig, str | None]:
    """Decides what the config leaves open.

    Args:
        config: Its `mi_negatives` may be `auto`.
        train: The training pairs.
        data: Not needed here.

    Returns:
        The config, and a sentence that tells of the decision.

    Raises:
        InputError: If the config asks for labels, and there are none.
    """
    if config.labelled_fraction and (train.labels is None or not train.labels.any()):
        raise InputError(
            f"`labelled_fraction` {config.labelled_fraction} needs labels, and no training pair "
            "has one: leave it at 0."
        )
    if config.mi_negatives != "auto":
        return config, None
    few = len(train) > SMALL_SET and not tf.config.list_physical_devices("GPU")
    config = replace(config, mi_negatives=FEW_NEGATIVES if few else 0)
    if not config.alpha:
        return config, None
    if not few:
        return config, "Mutual information takes all others of the batch as negatives (paper)."
    return config, (
        f"Mutual information takes {FEW_NEGATIVES} negatives a pair, because there is no GPU; all "
        "others of the batch, as in the paper, take about ten times as long: `mi_negatives` 0."
    )
