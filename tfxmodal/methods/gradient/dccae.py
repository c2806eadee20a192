"""DCCAE: Deep Canonically Correlated Autoencoders (Wang et al., ICML 2015).

The paper could not be had: this is our reading of a released code of it (xdmvteam/DCCAE), without
the batch normalisation of its hidden layers, and with the ridge of `dcca` (there .001).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.errors import check_ranges
from tfxmodal.heads.autoencoder import autoencoder
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.methods.gradient.dcca import ACTIVATION, DCCA, PRESET_SOURCES, PRESETS, DCCAConfig
from tfxmodal.methods.gradient.dcca import SPEC as DCCA_SPEC
from tfxmodal.methods.learner import Batch
from tfxmodal.methods.spec import MethodSpec


@dataclass(frozen=True)
class DCCAEConfig(DCCAConfig):
    """DCCAE: DCCA and a reconstruction of the features."""

    reconstruction_weight: float = 1e-3
    """lambda, the weight of the reconstruction, whose errors are averaged over rows and columns
    (released code: .001). A lambda for errors that are summed over the d columns of a row, as in
    the paper, is d times smaller for the same loss; at 0 it is DCCA."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self, reconstruction_weight="[0, inf)")


class DCCAE(DCCA):
    """DCCA whose networks are also the encoders of two autoencoders.

    With features x, t, networks f, g and decoders D_x, D_t it minimises

        -sum_j rho_j + lambda ( mean (D_x(f(x)) - x)^2 + mean (D_t(g(t)) - t)^2 )

    where the first sum is DCCA's and the means are over rows and columns. The decoders mirror the
    networks, and read their outputs before the last linear CCA. Features are reconstructed as the
    networks read them, after `image_scaling` and `text_scaling`.

    Time and memory are DCCA's, and about as much again for the decoders in training.

    Args:
        inputs: Widths of the features.
        config: Hyper-parameters.
    """

    def __init__(self, inputs: MethodInputs, config: DCCAEConfig):
        super().__init__(inputs, config)
        self.weights |= {"reconstruction": config.reconstruction_weight}
        for kind, scaled in self._scaled.items():  # After all of DCCA's: its weights start alike.
            network = self.networks[f"{kind}_network"]
            self.networks[f"{kind}_autoencoder"] = autoencoder(
                network.input, scaled, network.output, config.hidden_units, ACTIVATION
            )

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """DCCA's term, and the mean squared errors of both reconstructions."""
        both = self.embed(batch["pairs"], "autoencoder")
        errors = [
            tf.reduce_mean(keras.losses.mean_squared_error(features, decoded))
            for _, features, decoded in both
        ]
        return {
            "canonical_correlation": self._correlation(
                replicas, *(outputs for outputs, *_ in both)
            ),
            "reconstruction": tf.add_n(errors),
        }


SPEC = MethodSpec(
    name="dccae",
    title="Deep canonically correlated autoencoders",
    source="Wang et al., ICML 2015, by a released code of it",
    setting="unsupervised",
    config=DCCAEConfig,
    learner=DCCAE,
    presets=PRESETS,
    preset_sources=PRESET_SOURCES,
    search_space={**DCCA_SPEC.search_space, "reconstruction_weight": (1e-4, 1e-3, 1e-2, 1e-1)},
)
