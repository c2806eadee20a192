"""DCCA: Deep Canonical Correlation Analysis (Andrew et al., ICML 2013).

The paper could not be had: this is our reading of what released codes of it have in common
(VahidooX/DeepCCA, Michaelvll/DeepCCA, wangxu-scu/DeepCCA).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.linear import linear_projection, set_projection
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.canonical_correlation import canonical_correlation, canonical_directions
from tfxmodal.methods.closed_form.moments import moments
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, rmsprop
from tfxmodal.methods.scaled_features import NONE_OR_STANDARD, ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec

ACTIVATION = "sigmoid"
"""Of the hidden layers (released codes)."""


@dataclass(frozen=True)
class DCCAConfig(ScaledFeatures):
    """DCCA; the sources are released codes."""

    hidden_units: tuple[int, ...] = (1024, 1024, 1024)
    """Units of the hidden layers of each network, which end in a sigmoid; the last layer is linear
    (released codes: 1024 1024 1024). None is linear CCA, by gradients."""

    embedding_dim: int = 10
    """k, dimensions of the outputs and of the common space (released codes: 10). A batch must be
    larger, and should be ten times as large: of few rows noise correlates, too."""

    ridge: float = 1e-4
    """r, added to the variance of each output (released codes: .0001 or .001)."""

    def __post_init__(self):
        check_ranges(self, hidden_units="[1, inf)", embedding_dim="[1, inf)", ridge="(0, inf)")


class DCCA(CosineMethod):
    """Two networks whose outputs correlate as much as they can, and linear CCA behind them.

    With H1 `[N, k]` and H2 `[N, k]` the outputs of a batch, the loss is -sum_j rho_j, the negated
    sum of their k canonical correlations; see `losses.canonical_correlation`. It does not change
    when either network's output goes through an invertible linear map, so that single outputs mean
    nothing. Therefore, before each validation, linear CCA of the outputs of all training pairs,
    with the same ridge, gives the maps into the common space in which pairs are scored by the
    cosine. The maps are kept in the encoders' variables.

    The paper trains on all pairs at once by L-BFGS after a pre-training; released codes, and this
    one, take large batches and RMSprop. Some of them minimise something else under this name, which
    the loss' docstring lists; here it is the sum of the correlations, as in the paper. Their L2
    penalty of 1e-5 is left out: `weight_decay` is there.

    A step of N pairs takes O(N k^2 + k^3) time for the loss, beside the networks. The last maps
    take a pass over the training pairs before each validation (`validate_every`), and memory for
    their outputs.

    Args:
        inputs: Widths of the features.
        config: Hyper-parameters.
    """

    optimizer = staticmethod(rmsprop)  # Released codes.

    def __init__(self, inputs: MethodInputs, config: DCCAConfig):
        self.config, self.networks = config, {}
        self.weights = {"canonical_correlation": 1.0}
        self._scaled, self._maps = {}, {}
        k = config.embedding_dim
        for kind, features, scaled in scaled_inputs(inputs, config):
            network = feature_network(
                scaled.shape[-1],
                (*config.hidden_units, k),
                activation=ACTIVATION,
                output_activation="linear",
                name=f"{kind}_layers",
            )
            outputs = network(scaled)
            self._scaled[kind] = scaled
            self._maps[kind] = linear_projection(np.zeros(k), np.eye(k))
            self._maps[kind].trainable = False
            self.networks[f"{kind}_network"] = keras.Model(features, outputs)
            self.networks[f"{kind}_encoder"] = keras.Model(features, self._maps[kind](outputs))

    def check_batch(self, rows: int):
        """Checks that a batch has more rows than the outputs have dimensions.

        Raises:
            InputError: If it has not; every correlation would be 1, whatever the networks.
        """
        if rows <= self.config.embedding_dim:
            raise InputError(
                f"`batch_size` must be above `embedding_dim`, {self.config.embedding_dim}, better "
                f"ten times as large; received batches of {rows} training pairs: raise "
                "`batch_size` or lower `embedding_dim`."
            )

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The negated sum of the canonical correlations of the global batch."""
        images, texts = self.embed(batch["pairs"], "network")
        return {"canonical_correlation": self._correlation(replicas, images, texts)}

    def _correlation(self, replicas, images, texts) -> tf.Tensor:
        outputs = (replicas.gather(each) for each in (images, texts))
        return canonical_correlation(*outputs, self.config.ridge)

    def settle(self, train: Pairs):
        """Fits linear CCA to the networks' outputs for all training pairs."""
        images = self.outputs.embed_images(train.images)
        texts = self.outputs.embed_texts(train.texts)
        of = moments(images, texts)
        ridge = self.config.ridge * np.eye(self.config.embedding_dim)
        a, _, b = canonical_directions(of.images + ridge, of.between, of.texts + ridge)
        set_projection(self._maps["image"], of.image_mean, a)
        set_projection(self._maps["text"], of.text_mean, b)


PRESETS = {"": {"training": {"learning_rate": 1e-3, "batch_size": 1000}}}
"""Of DCCA and DCCAE."""

PRESET_SOURCES = {"": "learning rate: released codes; batch: ours, a hundred times `embedding_dim`"}

SPEC = MethodSpec(
    name="dcca",
    title="Deep canonical correlation analysis",
    source="Andrew et al., ICML 2013, by released codes of it",
    setting="unsupervised",
    config=DCCAConfig,
    learner=DCCA,
    presets=PRESETS,
    preset_sources=PRESET_SOURCES,
    search_space={
        "embedding_dim": (10, 20, 50, 100),
        "ridge": (1e-5, 1e-4, 1e-3, 1e-2),
        "learning_rate": (1e-4, 1e-3),
        **NONE_OR_STANDARD,
    },
)
