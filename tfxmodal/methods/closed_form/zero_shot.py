"""Zero-shot: the encoders' own vectors, compared without any training."""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras
from tfxmodal.methods.spec import Fitted, MethodSpec


@dataclass(frozen=True)
class ZeroShotConfig:
    """Zero-shot, which has nothing to set."""


def fit(
    train: Pairs, validation: Pairs, config: ZeroShotConfig, select_by="auto", seed=0, progress=None
) -> Fitted:
    """Learns nothing: a pair is scored by the cosine of its features, x . y / (|x| |y|).

    Args:
        train: Training pairs as features of one space, of which the width alone is taken.
        validation: Unused, as the others.
        config: Unused.
        select_by: Unused.
        seed: Unused.
        progress: Unused.
    """
    return Fitted(
        {
            "image_encoder": _unit(train.images.shape[1]),
            "text_encoder": _unit(train.texts.shape[1]),
        }
    )


def _unit(width: int) -> keras.Model:
    """Features `[batch, width]` at unit length."""
    features = keras.Input([width], name="features")
    return keras.Model(features, keras.layers.UnitNormalization(dtype="float32")(features))


SPEC = MethodSpec(
    name="zero_shot",
    title="Zero-shot: the cosine in a pretrained model's own space",
    source="Radford et al. 2021 (CLIP), section 3.1; Zhai et al. 2023 (SigLIP)",
    setting="unsupervised",
    for_auto=True,
    config=ZeroShotConfig,
    fit=fit,
    shared_space=lambda config: True,
    needs_pairs=False,
)
