"""Features that are scaled before a method's networks read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tfxmodal.inputs.spec import MethodInputs

STANDARD = {"image_scaling": "standard", "text_scaling": "standard"}
"""The settings of a preset that standardises both modalities."""

NONE_OR_STANDARD = {name: ("none", value) for name, value in STANDARD.items()}
"""What tuning tries of the scaling."""


@dataclass(frozen=True, kw_only=True)
class ScaledFeatures:
    """What the config of a method begins with whose features may be scaled."""

    image_scaling: Literal["none", "unit", "center", "standard"] = "none"
    """What is done to the image features first, fitted to the training pairs that the method learns
    from (papers: nothing): unit divides all by one number, to a mean square of 1; center gives each
    column mean 0, standard variance 1 as well."""

    text_scaling: Literal["none", "unit", "center", "standard"] = "none"
    """The same for the text features."""


def scaled_inputs(inputs: MethodInputs, config: ScaledFeatures) -> Iterator[tuple]:
    """Yields of each modality its name, the Keras input of its rows, and its features scaled.

    The rows are the features themselves or, end to end, what the encoder makes them of.
    """
    from tfxmodal.heads.scaling import feature_scaling

    for kind, scaling in (("image", config.image_scaling), ("text", config.text_scaling)):
        rows, features = inputs.features(kind)
        yield kind, rows, feature_scaling(features.shape[-1], scaling)(features)
