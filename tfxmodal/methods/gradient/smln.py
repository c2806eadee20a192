"""SMLN: semi-supervised multi-modal learning with balanced spectral decomposition.

Hu, Zhu, Peng, Lin, AAAI 2020. There is no released code, and of the paper a summary alone could be
had: this is our reading of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.linear import linear_projection, set_projection
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.balanced_spectrum import balanced_spectrum, similarity_graph, spectral_map
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch
from tfxmodal.methods.scaled_features import ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec

SAMPLE = 2000
"""Training pairs that the last map is fitted to, at most; it takes time that grows with their
square."""


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

    The loss does not change when Z goes through an invertible affine map, so that single outputs
    mean nothing. Therefore, before each validation, one map of both modalities is fitted to the
    outputs of training pairs, all or `SAMPLE` of them, and their graph: onto the eigenvectors, each
    with its eigenvalue as weight (`losses.balanced_spectrum.spectral_map`). In that space pairs are
    scored by the cosine. The map is kept in the encoders' variables. Binary codes (`binary`) have
    no such map, which no gradient could carry to a bit: Z are the codes, compared as they are.

    A step takes O(N^2 (d + k)) time beside the networks, and memory for some matrices `[2 N, 2 N]`;
    the last map takes them once before each validation (`validate_every`).

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
            points = self.coded(kind, features, network(scaled))
            self.networks[f"{kind}_network"] = keras.Model(features, points)
            codes = points if config.binary else self._last(points)
            self.networks[f"{kind}_encoder"] = keras.Model(features, codes)

    @cached_property
    def _last(self) -> keras.Model:
        """The last map, which both modalities share."""
        last = linear_projection(np.zeros(self._width), np.eye(self._width))
        last.trainable = False
        return last

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
        both = self.embed(rows, "network")
        points = tf.concat([replicas.gather(outputs) for outputs in both], axis=0)
        columns = (replicas.gather(rows[name]) for name in ("images", "texts", "labels"))
        similarities = similarity_graph(*columns, self.config.neighbours)
        spectrum = balanced_spectrum(points, similarities, self.config.ridge)
        return {"balanced_spectrum": spectrum} | self.quantised(rows)

    def settle(self, train: Pairs):
        """Fits the last map to the networks' outputs for training pairs, taken evenly."""
        if self.config.binary:
            return
        number = min(len(train), max(SAMPLE, self.config.neighbours + 1))
        rows = np.linspace(0, len(train) - 1, number, dtype=int)
        images, texts = train.images[rows], train.texts[rows]
        labels = tf.constant(train.labels[rows], tf.float32)
        points = np.concatenate(
            [self.outputs.embed_images(images), self.outputs.embed_texts(texts)]
        )
        similarities = similarity_graph(images, texts, labels, self.config.neighbours)
        set_projection(self._last, *spectral_map(points, similarities, self.config.ridge))


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
