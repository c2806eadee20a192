"""The hyper-parameters of MCSM, and what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods.few_labels import FewLabels
from tfxmodal.methods.scaled_features import ScaledFeatures
from tfxmodal.methods.spec import GLOBAL, IN_PARTS, come_in_parts


@dataclass(frozen=True)
class MCSMConfig(ScaledFeatures, FewLabels):
    """MCSM; where a default names no source, it is the released code's."""

    spaces: Literal["both", "image", "text"] = "both"
    """The spaces that are learned: both (the method), or one of them alone."""

    locations: Literal["auto", "map", "global"] = "auto"
    """What is read: map, the locations of images and the words of texts; global, one feature vector
    of each (MCSM-global); auto, map where there are image files and captions, and encoders that
    give maps and words."""

    image_units: int = 512
    """Units of each LSTM over the locations of an image (released code: 512)."""

    text_units: int = 256
    """Units of each LSTM over a text, and filters of the convolution below them (released code: 256
    both)."""

    embedding_dim: int = 1024
    """Dimensions of each space (ours; released code: 4,096, for about ten times the time)."""

    dropout: float = 0.5
    """Fraction dropped behind the LSTMs and in the attention (released code: .5)."""

    margin: float = 0.5
    """By how much a pair scores higher than its parts with items of other classes (released code:
    .5)."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(
            self,
            image_units="[1, inf)",
            text_units="[1, inf)",
            embedding_dim="[1, inf)",
            dropout="[0, 1)",
            margin="(0, inf)",
        )


def reads(config: MCSMConfig) -> dict[str, str]:
    """What it reads: features, or maps and words."""
    return GLOBAL if config.locations == "global" else IN_PARTS


def decided(config: MCSMConfig, train: Pairs, data: DataConfig) -> tuple[MCSMConfig, str | None]:
    """Decides what is read, where it is `auto`.

    Args:
        config: The config.
        train: The training pairs, as they came.
        data: Which encoders read them.

    Returns:
        The config, and a sentence where it is one vector of each.

    Raises:
        InputError: If the config asks for what is not there.
    """
    locations = config.locations
    if locations == "auto":
        locations = "map" if come_in_parts(train, data) else "global"
    if locations == "map" and not train.has_contents:
        raise InputError(
            "`locations` map reads image files and captions, and the training pairs have ready "
            "features: give a dataset with files and captions, or `locations` global."
        )
    if locations == "map" and config.text_scaling != "none":
        raise InputError(
            f"`text_scaling` {config.text_scaling} is of ready features, and words have vectors "
            "that are trained: leave it out."
        )
    told = None
    if locations == "global":
        told = (
            "MCSM-global: images and texts are one feature vector each, so that there is no "
            "attention; what is left is a triplet model of two spaces."
        )
    return replace(config, locations=locations), told
