"""SMLN: semi-supervised multi-modal learning with balanced spectral decomposition.

Hu, Zhu, Peng, Lin, AAAI 2020. There is no released code, and of the paper a summary alone could be
had: this is our reading of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import tf
from tfxmodal.losses.balanced_spectrum import balanced_spectrum, similarity_graph
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch
from tfxmodal.methods.scaled_features import ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec


@dataclass(frozen=True)
class SMLNConfig(ScaledFeatures, FewLabels, Binary):
    """SMLN; where the source is SDML, it is the released code of another method of its authors."""

    hidden_units: tuple[int, ...] = (1024, 1024)
    """Units of the hidden layers of each network (SDML: 1024 1024)."""

    embedding_dim: int | None = None
    """k, dimensions of the common space; by default the number of classes. Where all rows have
    labels, the loss fills one dimension fewer than a batch has classes."""

    neighbours: int = 5
    """Nearest neighbours in a batch that a point without a label is linked to (ours: 5)."""

    ridge: float = 1e-3
    """Added to Z^T D Z, relative to the mean of its diagonal (MvLDAN: .001)."""

    def __post_init__(self):
        super().__post_init__()
        check_bits(self)
        check_ranges(
            self,
            hidden_units="[1, inf)",
            embedding_dim="[1, inf)",
            neighbours="[1, inf)",
            ridge="(0, inf)",
        )


class SMLN(CosineMethod):
    """Two networks whose common space puts similar points of a batch in one place.

    Of a batch of N pairs Z `[2 N, k]` are both networks' outputs, and W `[2 N, 2 N]` says which
    points are similar (`losses.balanced_spectrum.similarity_graph`): an image and its text, points
    of a class, and neighbours where a label is missing. The loss is sum_i (1 - lambda_i)^2 over the
    eigenvalues of (Z^T D Z)^-1 Z^T W Z (`losses.balanced_spectrum`). The paper's function of the
    eigenvalues could not be read; its summary says that it balances them all, which this one does.

    A step takes O(N^2 (d + k)) time beside the networks, and memory for some matrices `[2 N, 2 N]`.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    def __init__(self, inputs: MethodInputs, config: SMLNConfig):
        self.config, self.networks = config, {}
        self.weights = {"balanced_spectrum": 1.0} | config.code_weights
        self._width = config.width or inputs.classes
        units = (*config.hidden_units, config.embedding_dim or inputs.classes)
        for kind, features, scaled in scaled_inputs(inputs, config):
            network = feature_network(scaled.shape[-1], units, output_activation="linear")
            self.add_encoder(kind, features, self.coded(kind, features, network(scaled)))

    def check_batch(self, rows: int):
        """Checks that a batch has a point a dimension, and the neighbours of each.

        Raises:
            InputError: If it has not: the loss would be that of the ridge alone.
        """
        least = max(self.config.neighbours, self._width // 2) + 1
        if rows < least:
            raise InputError(
                f"`batch_size` must be at least {least} for {self._width} dimensions and "
                f"{self.config.neighbours} neighbours, and should be several times that; received "
                f"batches of {rows} pairs: raise it, give more pairs, or lower "
                f"`{'binary' if self.config.binary else 'embedding_dim'}` and `neighbours`."
            )

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The loss of the global batch."""
        rows = batch["pairs"]
        points = tf.concat([replicas.gather(code) for code in self.embed(rows)], axis=0)
        columns = (replicas.gather(rows[name]) for name in ("images", "texts", "labels"))
        similarities = similarity_graph(*columns, self.config.neighbours)
        spectrum = balanced_spectrum(points, similarities, self.config.ridge)
        return {"balanced_spectrum": spectrum} | self.quantised(rows)


SPEC = MethodSpec(
    name="smln",
    title="Semi-supervised multi-modal learning network",
    source="Hu et al., AAAI 2020, by our reading of its summary",
    setting="semi-supervised",
    config=SMLNConfig,
    learner=SMLN,
    seen=with_few_labels,
    needs_labels=True,
    presets={"wikipedia": {"training": {"learning_rate": 1e-3}}},
    preset_sources={"wikipedia": "ours, by validation"},
    search_space={
        "embedding_dim": (10, 50, 200),
        "ridge": (1e-4, 1e-3, 1e-2),
        "learning_rate": (1e-4, 1e-3),
    },
)
