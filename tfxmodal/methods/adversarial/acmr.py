"""ACMR: Adversarial Cross-Modal Retrieval (Wang et al., ACM Multimedia 2017).

The paper could not be had beyond its abstract: this is our reading of what is told of it, and of
its released demo (sunpeng981712364/ACMR_demo).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tfxmodal.errors import check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.layers import dense
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.best_negatives import best_negatives
from tfxmodal.losses.discrimination import discrimination
from tfxmodal.losses.label_prediction import label_prediction
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.squared_triplet import squared_triplet
from tfxmodal.losses.weight_norms import weight_norms
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, short_adam
from tfxmodal.methods.scaled_features import NONE_OR_STANDARD, ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec


@dataclass(frozen=True)
class ACMRConfig(ScaledFeatures, FewLabels, Binary):
    """ACMR; the networks are the paper's as it is told, the other numbers the released demo's."""

    image_hidden_units: tuple[int, ...] = (2000,)
    """Units of the hidden layers of the images' projector (demo: 512 100)."""

    text_hidden_units: tuple[int, ...] = (500,)
    """Units of the hidden layers of the texts' projector (demo: 40 100)."""

    embedding_dim: int = 200
    """Dimensions of the common space (demo: 40)."""

    adversary_units: tuple[int, ...] = (50,)
    """Units of the hidden layers of the adversary, which ends in one logit (demo: 20 10, and two
    logits)."""

    triplet_weight: float = 64.0
    """Weight of the triplets' mean (demo: 1 of the sum over its batch of 64)."""

    class_weight: float = 100.0
    """Weight of the class head's cross-entropy (demo: 100)."""

    regularization: float = 1.0
    """Weight of the norms of the projectors' weights (paper, as it is told: 1; demo: none)."""

    adversary_weight: float = 1.0
    """Weight of the adversary's reversed gradient, after the schedule's l (demo: 1, in the loss
    that it does not use). 0 trains without an adversary."""

    margin: float = 0.1
    """m of the triplets (demo: .1)."""

    attraction: float = 5.0
    """Weight of a pair's own distance in its triplets (demo: 5)."""

    as_released: bool = False
    """Train as the released demo does: the reversed gradient does not reach the projectors, the
    class head keeps its random weights, the hinge is of the sum of the triplets of a batch, the
    adversary is linear, and there is no regularisation."""

    def __post_init__(self):
        super().__post_init__()
        check_bits(self)
        units = ("image_hidden_units", "text_hidden_units", "embedding_dim", "adversary_units")
        weights = ("triplet_weight", "class_weight", "regularization", "adversary_weight")
        check_ranges(
            self,
            **dict.fromkeys(units, "[1, inf)"),
            **dict.fromkeys((*weights, "margin", "attraction"), "[0, inf)"),
        )


class ACMR(CosineMethod):
    """Two projectors, a class head that both share, and an adversary that tells the modalities.

    With u and v of an image and its text in the common space, projectors f, class head g and
    adversary D, all of them are trained at once:

        g and f minimise  w_t L_triplet + w_c L_class + w_r L_norms - l w_a L_adversary
        D minimises       L_adversary

    A reversal of the gradient between f and D makes it one update: the identity forward, -l times
    the gradient backward. l rises over the epochs, l = 2 / (1 + exp(-10 p)) - 1 with p the
    fraction of them that is done, and is 0 in the first one.

        L_triplet   : see `losses.squared_triplet`; of u, v and a negative text, and of v, u and a
                      negative image. The negative is, in the batch, what belongs to the pair of
                      another class whose features are nearest by cosine to the anchor's.
        L_class     = -1/N sum_i y_i . (log softmax g(u_i) + log softmax g(v_i))
        L_norms     = sum_k ||W_k||_F over the layers of the projectors
        L_adversary = -1/N sum_i log sigmoid D(u_i) + log(1 - sigmoid D(v_i))

    A pair of several classes has its y divided by their number, and its negatives share no class
    with it: both are ours. Rows without a label are left out. A row without a negative in its
    batch has no triplet.

    The released demo builds the sum of these losses and does not minimise it. It trains the
    projectors by the first two terms and the adversary by the last: no reversed gradient reaches
    the projectors, and the class head, in neither list of variables, stays as it began
    (`as_released`). It goes through the pairs in one order, and measures by Euclidean distance.
    Here batches are shuffled, validation chooses the epoch, and the score is the cosine.

    A step of N pairs takes O(N^2 d) for the negatives of features of d dimensions, beside the
    networks, and memory for two matrices of `[N, N]`.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    labelled_only = True
    optimizer = staticmethod(short_adam)  # Demo.

    def __init__(self, inputs: MethodInputs, config: ACMRConfig):
        from tfxmodal.heads.gradient_reversal import GradientReversal

        self.config, self.networks = config, {}
        self.weights = {"triplet": config.triplet_weight, "class": config.class_weight}
        self.weights |= config.code_weights
        full, dim = keras.config.floatx(), config.width
        for kind, features, scaled in scaled_inputs(inputs, config):
            hidden = getattr(config, f"{kind}_hidden_units")
            project = feature_network(
                scaled.shape[-1],
                (*hidden, config.embedding_dim),
                activation="tanh",
                output_activation="tanh",
                name=f"{kind}_projector",
            )
            code = self.coded(kind, features, project(scaled))
            self.networks[f"{kind}_network"] = keras.Model(features, code)
            self.add_encoder(kind, features, code)
        codes = keras.Input([dim], name="codes")
        head = dense(inputs.classes, full)
        head.trainable = not config.as_released
        self.networks["classifier"] = keras.Model(codes, head(codes))
        if not config.as_released:
            self.weights["norms"] = config.regularization
        if config.adversary_weight:
            self.weights["adversary"] = config.adversary_weight
            self._reversal = GradientReversal(0.0, dtype=full)
            judge = feature_network(
                dim,
                (*config.adversary_units, 1),
                activation="linear" if config.as_released else "tanh",
                output_activation="linear",
            )
            self.networks["adversary"] = keras.Model(codes, judge(self._reversal(codes)))

    def begin_epoch(self, done: float):
        """Sets l, which stays 0 as released."""
        if has_schedule(self.config):
            self._reversal.strength.assign(2 / (1 + math.exp(-10 * done)) - 1)

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The terms, the adversary's by the side of its reversed gradient."""
        rows = batch["pairs"]
        u, v = self.embed(rows, "network")
        g = self.networks["classifier"]
        terms = {
            "triplet": self._triplets(rows, u, v, replicas),
            "class": label_prediction(g(u), g(v), rows["labels"]),
        } | self.quantised(rows)
        if "norms" in self.weights:
            projectors = self.trainable_variables("image_network", "text_network")
            terms["norms"] = weight_norms([w.value for w in projectors if len(w.shape) == 2])
        if "adversary" in self.weights:
            judge = self.networks["adversary"]
            terms["adversary"] = discrimination(judge(u), True) + discrimination(judge(v), False)
        return terms

    def _triplets(self, rows, u, v, replicas) -> tf.Tensor:
        """The triplets of images with texts, and of texts with images."""
        pairs = PairBatch.gathered(u, v, rows["labels"], replicas)

        def triplets(kind, anchors, positives, others):
            own = tf.math.l2_normalize(rows[kind], axis=1)
            cosines = tf.matmul(own, replicas.gather(own), transpose_b=True)
            negatives, there = best_negatives(cosines, pairs.anchor_labels, pairs.labels)
            return squared_triplet(
                anchors,
                positives,
                tf.gather(others, negatives),
                there,
                self.config.margin,
                self.config.attraction,
                replicas.gather if self.config.as_released else None,
            )

        return triplets("images", u, v, pairs.texts) + triplets("texts", v, u, pairs.images)


def has_schedule(config: ACMRConfig) -> bool:
    """Whether a reversed gradient reaches the projectors, whose l rises over the epochs."""
    return config.adversary_weight > 0 and not config.as_released


SPEC = MethodSpec(
    name="acmr",
    title="Adversarial Cross-Modal Retrieval",
    source="Wang et al., ACM Multimedia 2017, by its released demo sunpeng981712364/ACMR_demo",
    setting="supervised",
    config=ACMRConfig,
    learner=ACMR,
    seen=with_few_labels,
    follows_epochs=has_schedule,
    needs_labels=True,
    presets={"": {"training": {"batch_size": 64, "epochs": 50}}},
    preset_sources={"": "the released demo"},
    search_space={
        "adversary_weight": (0.0, 1.0, 10.0, 100.0),
        "triplet_weight": (1.0, 64.0),
        "learning_rate": (1e-4, 1e-3),
        **NONE_OR_STANDARD,
    },
)
