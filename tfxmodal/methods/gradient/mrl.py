"""MRL: Multimodal Robust Learning (Hu et al., CVPR 2021), for labels of which some are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tfxmodal.errors import check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.contrastive import contrastive
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.robust_clustering import robust_clustering
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, short_adam
from tfxmodal.methods.scaled_features import (
    NONE_OR_STANDARD,
    STANDARD,
    ScaledFeatures,
    scaled_inputs,
)
from tfxmodal.methods.spec import MethodSpec


@dataclass(frozen=True)
class MRLConfig(ScaledFeatures, FewLabels, Binary):
    """MRL; the defaults are those of the released code."""

    hidden_units: tuple[int, ...] = (4096, 4096)
    """Units of the hidden layers of each network (released code: 4096, 4096)."""

    embedding_dim: int = 512
    """Dimensions of the common space (released code: 512)."""

    beta: float = 0.7
    """Weight of robust clustering; the rest, 1 - beta, is that of contrast (released code, for .2
    and .6 of wrong labels on Wikipedia: .7; its comments name .4 too)."""

    temperature: float = 1.0
    """tau of both losses (released code: 1)."""

    as_released: bool = False
    """Let the learning rate fall with a cosine over the epochs, from `learning_rate` to 0, as the
    released code does."""

    def __post_init__(self):
        super().__post_init__()
        check_bits(self)
        check_ranges(
            self,
            hidden_units="[1, inf)",
            embedding_dim="[1, inf)",
            beta="[0, 1]",
            temperature="(0, inf)",
        )


class MRL(CosineMethod):
    """Two encoders onto the unit sphere, and a centre of each class that both share.

        L = beta (L_r(U C / tau) + L_r(V C / tau)) + (1 - beta) L_c(U, V)

    with the embeddings U and V of images and texts `[B, dim]`, the centres C `[dim, classes]`, unit
    columns that start orthogonal and are trained, robust clustering L_r (`losses/
    robust_clustering.py`), and L_c = 2 NT-Xent: each of the 2B embeddings tells its counterpart
    from all others of the batch, once by rows and once by columns of the same symmetric matrix.

    The paper could not be had beyond its abstract: loss, networks and settings are those of the
    released code (penghu-cs/MRL), and this is our reading of it. Its learning rate falls with a
    cosine over the epochs (`as_released`, which does not keep the first rate for a second epoch);
    here it stays. In both validation chooses the epoch. Its wrong labels differ between a pair's
    image and text. That is not reproduced: a pair has one label, as in every dataset and method
    here, so that `label_noise` gives image and text the same wrong one. Its warm-up epoch makes no
    step, so there is none here. Rows without a label are left out.

    A step costs O(B P + B^2 dim) time and O(P + B^2) memory, for networks of P weights.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    labelled_only = True

    def __init__(self, inputs: MethodInputs, config: MRLConfig):
        self.config = config
        # L_c is twice NT-Xent.
        self.weights = {"robust_clustering": config.beta, "contrastive": 2 * (1 - config.beta)}
        self.weights |= config.code_weights
        self.networks = {}
        for kind, features, scaled in scaled_inputs(inputs, config):
            embed = feature_network(
                scaled.shape[-1],
                (*config.hidden_units, config.embedding_dim),
                output_activation="linear",
                name=f"{kind}_network",
            )
            self.add_encoder(kind, features, self.coded(kind, features, embed(scaled)))
        embeddings = keras.Input([config.width], name="embeddings")
        centres = keras.layers.Dense(
            inputs.classes,
            use_bias=False,
            kernel_initializer="orthogonal",
            kernel_constraint=keras.constraints.UnitNorm(axis=0),
            dtype=keras.config.floatx(),
            name="centres",
        )
        self.networks["clusters"] = keras.Model(embeddings, centres(embeddings))

    def optimizer(self, learning_rate: float) -> keras.optimizers.Optimizer:
        """The released code's Adam, kept for `begin_epoch`."""
        self._rate, self._adam = learning_rate, short_adam(learning_rate)
        return self._adam

    def begin_epoch(self, done: float):
        """Sets the learning rate, which stays unless as released."""
        if self.config.as_released:
            self._adam.learning_rate = self._rate * (1 + math.cos(math.pi * done)) / 2

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """Robust clustering of this replica's rows, and their contrast with the global batch."""
        u, v = self.embed(batch["pairs"])
        cosines = [self.networks["clusters"](each, training=True) for each in (u, v)]
        tau, labels = self.config.temperature, batch["pairs"]["labels"]
        clustering = [robust_clustering(each / tau, labels) for each in cosines]
        pairs = PairBatch.gathered(u, v, replicas=replicas)
        return {
            "robust_clustering": tf.add_n(clustering),
            "contrastive": contrastive(pairs, tau, positive_in_denominator=True),
        } | self.quantised(batch["pairs"])


SPEC = MethodSpec(
    name="mrl",
    title="Multimodal Robust Learning",
    source="Hu et al., CVPR 2021; released code penghu-cs/MRL",
    setting="supervised",
    config=MRLConfig,
    learner=MRL,
    seen=with_few_labels,
    follows_epochs=lambda config: config.as_released,
    needs_labels=True,
    presets={
        "": {"training": {"epochs": 30, "batch_size": 100}},
        "wikipedia": {"method": STANDARD},
    },
    preset_sources={
        "": "the command that the released code names",
        "wikipedia": "scaling: ours; its features are of another size than the released code's",
    },
    search_space={
        "beta": (0.4, 0.7, 0.9),
        "temperature": (0.1, 0.3, 1.0),
        **NONE_OR_STANDARD,
        "learning_rate": (1e-5, 1e-3),
    },
)
