"""DSCMR: Deep Supervised Cross-Modal Retrieval (Zhen et al., CVPR 2019).

The paper could not be had: this is our reading of its released code (penghu-cs/DSCMR).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.errors import check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.layers import dense
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.mean_distance import mean_distance
from tfxmodal.losses.modality_invariant import modality_invariant
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.pairwise_likelihood import pairwise_likelihood
from tfxmodal.losses.relational_similarity import similarity
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
class DSCMRConfig(ScaledFeatures, FewLabels, Binary):
    """DSCMR; the sources are the released code's numbers."""

    hidden_units: int = 2048
    """Units of each modality's own layer (released code: 2,048)."""

    embedding_dim: int = 1024
    """Dimensions of the common space, the output of the shared layer (released code: 1,024)."""

    alpha: float = 1e-3
    """Weight of the discrimination loss J2 (released code: .001)."""

    beta: float = 0.1
    """Weight of the invariance loss J3 (released code: .1)."""

    as_released: bool = False
    """Take as similarity of two pairs the number of classes that they share, as the released code
    does, instead of 1 where they share any. It differs where pairs have several classes."""

    def __post_init__(self):
        super().__post_init__()
        check_bits(self)
        at_least_1, at_least_0 = ("hidden_units", "embedding_dim"), ("alpha", "beta")
        check_ranges(
            self,
            **dict.fromkeys(at_least_1, "[1, inf)"),
            **dict.fromkeys(at_least_0, "[0, inf)"),
        )


class DSCMR(CosineMethod):
    """Two networks with a shared last layer, and a linear classifier that both modalities share.

    With u and v of an image and its text in the common space, g the classifier and y the labels of
    the pair, it minimises J1 + alpha J2 + beta J3:

        J1 = 1/N sum_i ( || g(u_i) - y_i ||_2 + || g(v_i) - y_i ||_2 )
        J2: see `losses.pairwise_likelihood`, with S_ij = 1 where pairs i and j share a class
        J3 = 1/N sum_i || u_i - v_i ||_2

    J1 and J3 are of the norms, not of their squares, and g has no softmax. Pairs without a label
    are left out. Of several classes y has several ones.

    The released code chooses the epoch on the test split, goes through the pairs in one order, has
    no epsilon under its roots, and takes Y Y^T for S, which exceeds 1 where pairs share several
    classes (`as_released`). Here validation chooses, batches are shuffled, and S is 0 or 1.

    A step of N pairs takes O(N^2 embedding_dim) for J2 beside the networks, and memory for three
    matrices of `[N, N]`.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    labelled_only = True
    optimizer = staticmethod(short_adam)  # Released code.

    def __init__(self, inputs: MethodInputs, config: DSCMRConfig):
        self.config, self.networks = config, {}
        self.weights = {
            "label_distance": 1.0,
            "pairwise_likelihood": config.alpha,
            "modality_invariant": config.beta,
        } | config.code_weights
        full = keras.config.floatx()
        last = dense(config.embedding_dim, full)
        for kind, features, scaled in scaled_inputs(inputs, config):
            hidden = feature_network(scaled.shape[-1], (config.hidden_units,), name=f"{kind}_layer")
            code = self.coded(kind, features, last(hidden(scaled)))
            self.networks[f"{kind}_network"] = keras.Model(features, code)
            self.add_encoder(kind, features, code)
        codes = keras.Input([config.width], name="codes")
        self.networks["classifier"] = keras.Model(codes, dense(inputs.classes, full)(codes))

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """J1, J2 and J3."""
        rows, classify = batch["pairs"], self.networks["classifier"]
        u, v = self.embed(rows, "network")
        y = rows["labels"]
        pairs = PairBatch.gathered(u, v, y, replicas)
        if self.config.as_released:
            similar = tf.matmul(y, pairs.labels, transpose_b=True)
        else:
            similar = similarity(y, pairs.labels)
        return {
            "label_distance": mean_distance(classify(u), y) + mean_distance(classify(v), y),
            "pairwise_likelihood": pairwise_likelihood(pairs, similar),
            "modality_invariant": modality_invariant(u, v),
        } | self.quantised(rows)


SPEC = MethodSpec(
    name="dscmr",
    title="Deep Supervised Cross-Modal Retrieval",
    source="Zhen et al., CVPR 2019, by its released code penghu-cs/DSCMR",
    setting="supervised",
    config=DSCMRConfig,
    learner=DSCMR,
    seen=with_few_labels,
    needs_labels=True,
    presets={
        "": {"training": {"batch_size": 100, "epochs": 500}},
        "wikipedia": {"method": STANDARD},
    },
    preset_sources={
        "": "the released code",
        "wikipedia": "scaling: ours; its features are of another size than the released code's",
    },
    search_space={
        "alpha": (1e-4, 1e-3, 1e-2),
        "beta": (1e-2, 1e-1, 1.0),
        **NONE_OR_STANDARD,
    },
)
