"""SDML: Scalable Deep Multimodal Learning for Cross-Modal Retrieval (Hu et al., SIGIR 2019).

The paper could not be had: this is our reading of its released code (penghu-cs/SDML).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.autoencoder import autoencoder
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.mean_distance import mean_distance
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, Update, short_adam
from tfxmodal.methods.scaled_features import NONE_OR_STANDARD, ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec


@dataclass(frozen=True)
class SDMLConfig(ScaledFeatures, FewLabels):
    """SDML; the sources are the released code's numbers."""

    hidden_units: tuple[int, ...] = (1024, 1024)
    """Units of the hidden layers of each encoder; the decoders mirror them (released code: 1024
    1024)."""

    embedding_dim: int = 512
    """L, dimensions of the common space, at least the number of classes (released code: 512)."""

    alpha: float = 0.5
    """Weight of the reconstruction; that of the labels is 1 - alpha (released code: .5)."""

    text_rate: float = 2.0
    """Learning rate of the texts' networks, as a multiple of `learning_rate`, which the images'
    have (released code: .0002 and .0001)."""

    as_released: bool = False
    """Give the decoders' outputs unit length, and leave the target y as it is, as the released code
    does. Features of another length cannot be reconstructed then, and a row of several classes
    cannot reach its target."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(
            self,
            hidden_units="[1, inf)",
            embedding_dim="[1, inf)",
            alpha="[0, 1]",
            text_rate="(0, inf)",
        )


class SDML(CosineMethod):
    """Two autoencoders, trained apart, whose codes meet at fixed directions of the classes.

    W `[L, classes]` has orthonormal columns, drawn once and never trained. Each modality minimises,
    with encoder f (unit length), decoder D and labels y of its features x,

        (1 - alpha) 1/N sum_i || W^T f(x_i) - y_i / ||y_i|| ||_2
            + alpha 1/N sum_i || D(f(x_i)) - x_i ||_2

    where the first mean is of the rows with a label alone. So f(x) = w_c reaches 0 for a row of
    class c, and the modalities meet though neither sees the other: images and texts need not be
    paired, nor of one number. Each has its update and its optimizer, and neither changes the other.

    The division by the length of y, 1 / sqrt(s) for s classes, is ours: a unit vector cannot come
    nearer than sqrt(s) - 1 to a y of s ones. The released code leaves y as it is and gives the
    decoder's output unit length, too, which cannot reach features of another length
    (`as_released`). It has no epsilon under its roots, and a batch without any label gives NaN;
    here such a batch trains the reconstruction alone. It chooses the epoch of each modality by the
    label term on validation; here validation chooses one epoch for both, as for every method.

    Time and memory of a step are those of the networks: no term compares rows with each other.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    def __init__(self, inputs: MethodInputs, config: SDMLConfig):
        self.config, self.networks = config, {}
        full = keras.config.floatx()
        units = (*config.hidden_units, config.embedding_dim)
        for kind, features, scaled in scaled_inputs(inputs, config):
            encode = feature_network(scaled.shape[-1], units, output_activation="linear")
            code = self.add_encoder(kind, features, encode(scaled))
            self.networks[f"{kind}_autoencoder"] = autoencoder(
                features, scaled, code, config.hidden_units, normalize=config.as_released
            )
        codes = keras.Input([config.embedding_dim], name="codes")
        directions = keras.layers.Dense(
            inputs.classes,
            use_bias=False,
            kernel_initializer="orthogonal",
            trainable=False,
            dtype=full,
        )
        self.networks["classifier"] = keras.Model(codes, directions(codes))

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """All rows: one stream of pairs, or of unpaired sets one each of images and of texts."""
        if train.paired:
            return super().streams(train, seed)
        return {"images": np.arange(len(train.images)), "texts": np.arange(len(train.texts))}

    def updates(self) -> list[Update]:
        """One of each modality, by Adam with a first moment of .5 (released code)."""
        return [self._update("image", 1.0), self._update("text", self.config.text_rate)]

    def _update(self, kind: str, rate: float) -> Update:
        alpha = self.config.alpha
        return Update(
            kind,
            partial(self._losses, kind),
            {f"{kind}_labels": 1 - alpha, f"{kind}_reconstruction": alpha},
            self.trainable_variables(f"{kind}_autoencoder"),
            lambda learning_rate: short_adam(rate * learning_rate),
        )

    def _losses(self, kind: str, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """Both terms of one modality."""
        rows = batch.get("pairs", batch.get(f"{kind}s"))
        code, x, decoded = self.networks[f"{kind}_autoencoder"](rows[f"{kind}s"], training=True)
        y = rows["labels"]
        known = tf.cast(tf.reduce_any(y > 0, axis=1), y.dtype)
        # Relative to their share of the global batch, so that replicas average to it.
        weights = tf.math.divide_no_nan(known, tf.reduce_mean(replicas.gather(known)))
        target = y if self.config.as_released else tf.math.l2_normalize(y, axis=1)
        predicted = self.networks["classifier"](code)
        return {
            f"{kind}_labels": mean_distance(predicted, target, weights),
            f"{kind}_reconstruction": mean_distance(decoded, x),
        }


def decided(config: SDMLConfig, train: Pairs, data: DataConfig) -> tuple[SDMLConfig, None]:
    """The config as it is, if each class can have a direction.

    Raises:
        InputError: If there are more classes than dimensions.
    """
    classes = train.labels.shape[1]
    if config.embedding_dim < classes:
        raise InputError(
            f"`embedding_dim` must be at least the number of classes, {classes}, whose directions "
            f"are orthogonal; received {config.embedding_dim}: raise it."
        )
    return config, None


SPEC = MethodSpec(
    name="sdml",
    title="Scalable Deep Multimodal Learning",
    source="Hu et al., SIGIR 2019, by its released code penghu-cs/SDML",
    setting="semi-supervised",
    config=SDMLConfig,
    learner=SDML,
    decide=decided,
    seen=with_few_labels,
    needs_pairs=False,
    needs_labels=True,
    presets={"": {"training": {"batch_size": 100}}},
    preset_sources={"": "the released code"},
    search_space={
        "alpha": (0.1, 0.5, 0.9),
        "learning_rate": (1e-4, 1e-3),
        **NONE_OR_STANDARD,
    },
)
