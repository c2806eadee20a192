"""SCL: Self-supervised Correlation Learning for Cross-Modal Retrieval (Liu et al., TMM 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Pairs, labelled
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.class_contrastive import class_contrastive
from tfxmodal.losses.contrastive import contrastive
from tfxmodal.losses.label_prediction import label_prediction
from tfxmodal.losses.modality_invariant import modality_invariant
from tfxmodal.losses.mutual_information import mutual_information
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.methods.learner import Batch, Method
from tfxmodal.methods.spec import MethodSpec
from tfxmodal.retrieval.cosine import CosineScorer

FEW_NEGATIVES, SMALL_SET = 8, 64
"""What `auto` of `mi_negatives` takes on a CPU, and up to how many pairs it takes all there."""


@dataclass(frozen=True)
class SCLConfig:
    """SCL; equations and sections are the paper's.

    Its ablations: alpha 0 without MI, beta 0 without CD, --no-share-last-layer without WS.
    """

    hidden_units: int = 1024
    """Units of each projector's first layer (sec. IV-A.2: 1,024)."""

    embedding_dim: int = 512
    """Dimensions of the common space (sec. IV-A.2: 512)."""

    share_last_layer: bool = True
    """Share the projectors' last layer between the modalities (sec. III-A)."""

    dropout: float = 0.0
    """Fraction dropped after each ReLU of the projectors (paper: none; released code: .5)."""

    output_activation: Literal["relu", "linear"] = "relu"
    """Activation of the last layer (sec. IV-A.2: ReLU, so cosines are never negative). Linear is
    ours: measured, it reaches further where items share some of several classes."""

    image_scaling: Literal["none", "unit", "center", "standard"] = "none"
    """What is done to the image features first, fitted on the training split (paper: nothing): unit
    divides all by one number, to a mean square of 1; center gives each column mean 0, standard
    variance 1 as well."""

    text_scaling: Literal["none", "unit", "center", "standard"] = "none"
    """The same for the text features."""

    alpha: float = 0.01
    """Weight of mutual information in equation (8) (sec. IV-A.2: .01)."""

    beta: float = 1.0
    """Weight of contrastive discrimination in equation (8) (sec. IV-A.2: 1; stable in 1..1000,
    fig. 5; released code for Wikipedia: 100)."""

    temperature: float = 0.5
    """tau of equations (7) and (12) (sec. IV-A.2: .5)."""

    invariance_norm: Literal["rows", "frobenius"] = "rows"
    """Norm of equation (1): mean over the pairs' distances (released code), or of the matrix."""

    positive_in_denominator: bool = False
    """Whether the sum below in equation (7) holds the positive (paper, released code: no)."""

    mi_negatives: int | Literal["auto"] = 0
    """Negatives of each positive in equations (2) to (5): 0 for all others of the batch (paper), or
    a number, which divides the cost of the term by batch size over it (ours); auto (ours, the
    default of pairs and features): 8 on a CPU for more than 64 training pairs, else all."""

    labelled_fraction: float = 0.0
    """Fraction of the training pairs that have labels whose labels are used: 0 is unsupervised,
    equation (8); more is semi-supervised, equation (15) (table III: .05, .1, .3)."""

    labelled_rows: Literal["stratified", "first"] = "stratified"
    """Which pairs those are: the same share of every class, or the first rows (released code)."""

    gamma: float = 10.0
    """Weight of class-aware contrast in equation (13) (paper: silent; released code: 10)."""

    unsupervised_weight: float = 1.0
    """lambda, weight of L_U in equation (15) (paper: silent; released code: 1)."""

    def __post_init__(self):
        check_ranges(
            self,
            hidden_units="[1, inf)",
            embedding_dim="[1, inf)",
            dropout="[0, 1)",
            temperature="(0, inf)",
            labelled_fraction="[0, 1]",
        )
        if self.mi_negatives != "auto":
            check_ranges(self, mi_negatives="[0, inf)")


class SCL(Method):
    """Two projectors into a common space, in which the score is the cosine.

    Terms of the loss, unsupervised, equation (8): L = L_CM + alpha L_MI + beta L_CD. With labels,
    equation (15): L_SS = L_C + gamma L_CCD + lambda (L_CM + alpha L_MI + beta L_CD), the first two
    on the labelled batch x, the others on the batch u, which is drawn from all pairs. One optimizer
    minimises the sum: Algorithm 1 updates the discriminator by L_MI without alpha, a factor that
    Adam cancels. A term of weight 0 is not computed.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.

    Raises:
        InputError: If the config asks for labels, and there are none.
    """

    def __init__(self, inputs: MethodInputs, config: SCLConfig):
        from tfxmodal.heads.discriminator import PairDiscriminator, input_branch
        from tfxmodal.heads.projector import projector
        from tfxmodal.heads.scaling import feature_scaling

        self.config = config
        self.weights = _weights(config)

        # === Shared layers ===
        last = keras.layers.Dense(
            config.embedding_dim, activation=config.output_activation, name="last_layer"
        )
        branch_last = keras.layers.Dense(512, activation="relu", name="branch_last_layer")

        # === Networks ===
        self.networks = {}
        for kind, scaling in (("image", config.image_scaling), ("text", config.text_scaling)):
            (width,) = inputs.modality(kind).shape
            features = keras.Input([width], name="features")
            scaled = feature_scaling(width, scaling)(features)
            project = projector(
                width,
                config.hidden_units,
                config.embedding_dim,
                last if config.share_last_layer else None,
                config.dropout,
                config.output_activation,
                name=f"{kind}_projector",
            )
            self.networks[f"{kind}_encoder"] = keras.Model(features, project(scaled))
            if "mutual_information" in self.weights:
                branch = input_branch(width, last_layer=branch_last)
                self.networks[f"{kind}_input_branch"] = keras.Model(features, branch(scaled))
        if "mutual_information" in self.weights:
            self.networks["discriminator"] = PairDiscriminator(512, config.embedding_dim)
        if config.labelled_fraction:
            if inputs.classes is None:
                raise InputError(
                    f"`labelled_fraction` {config.labelled_fraction} needs labels, and this "
                    "dataset has none; leave it at 0."
                )
            codes = keras.Input([config.embedding_dim], name="codes")
            logits = keras.layers.Dense(inputs.classes, dtype=keras.config.floatx())(codes)
            self.networks["classifier"] = keras.Model(codes, logits, name="classifier")

    def adapt(self, train: Pairs):
        """Fits the scaling of the features."""
        from tfxmodal.heads.scaling import adapt

        adapt(self.networks["image_encoder"], train.images)
        adapt(self.networks["text_encoder"], train.texts)

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """Batches u come from all pairs; batches x, semi-supervised, from the labelled ones."""
        streams = {"unlabelled": np.arange(len(train))}
        if self.config.labelled_fraction:
            streams["labelled"] = labelled_rows(
                train.labels, self.config.labelled_fraction, self.config.labelled_rows, seed
            )
        return streams

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """Equations (1), (6), (7) on u; (11), (12) on x."""
        terms = {}
        if "modality_invariant" in self.weights:
            terms |= self._unsupervised(batch["unlabelled"], replicas)
        if self.config.labelled_fraction:
            terms |= self._supervised(batch["labelled"], replicas)
        return terms

    def scorer(self) -> CosineScorer:
        """Cosine in the common space (sec. IV-A.2)."""
        return CosineScorer(self.networks["image_encoder"], self.networks["text_encoder"])

    def _unsupervised(self, u, replicas) -> dict[str, tf.Tensor]:
        config = self.config
        z_v, z_t = self._embed(u)  # [n, dim]: this replica's
        pairs = PairBatch.gathered(z_v, z_t, replicas=replicas)  # and [N, dim]: the global batch's
        whole = config.invariance_norm == "frobenius"
        terms = {
            "modality_invariant": modality_invariant(
                *((pairs.images, pairs.texts) if whole else (z_v, z_t)),
                norm=config.invariance_norm,
            )
        }
        if "mutual_information" in self.weights:
            h_v = self.networks["image_input_branch"](u["images"], training=True)
            h_t = self.networks["text_input_branch"](u["texts"], training=True)
            terms["mutual_information"] = self.networks["discriminator"].mean_loss(
                replicas.gather(tf.stack([h_v, h_t], axis=1)),  # [N, 2, 512]
                tf.stack([z_v, z_t], axis=1),  # [n, 2, dim]
                mutual_information,
                config.mi_negatives or None,
                pairs.offset,
            )
        if "contrastive" in self.weights:
            terms["contrastive"] = contrastive(
                pairs, config.temperature, config.positive_in_denominator
            )
        return terms

    def _supervised(self, x, replicas) -> dict[str, tf.Tensor]:
        z_v, z_t = self._embed(x)
        classify, labels = self.networks["classifier"], x["labels"]
        terms = {"label_prediction": label_prediction(classify(z_v), classify(z_t), labels)}
        if "class_contrastive" in self.weights:
            pairs = PairBatch.gathered(z_v, z_t, labels, replicas)
            terms["class_contrastive"] = class_contrastive(pairs, self.config.temperature)
        return terms

    def _embed(self, rows):
        return (
            self.networks["image_encoder"](rows["images"], training=True),
            self.networks["text_encoder"](rows["texts"], training=True),
        )


def _weights(config: SCLConfig) -> dict[str, float]:
    """Weights of equation (8) or (15); terms of weight 0 are left out."""
    weights = {
        "modality_invariant": 1.0,
        "mutual_information": config.alpha,
        "contrastive": config.beta,
    }
    if config.labelled_fraction:
        weights = {name: config.unsupervised_weight * weight for name, weight in weights.items()}
        weights |= {"label_prediction": 1.0, "class_contrastive": config.gamma}
    return {name: weight for name, weight in weights.items() if weight}


def labelled_rows(labels: np.ndarray, fraction: float, how: str, seed: int) -> np.ndarray:
    """The training rows whose labels a semi-supervised method may see.

    Args:
        labels: `[n, classes]` multi-hot.
        fraction: Share of the rows that have a label, above 0 and at most 1.
        how: `"first"`, the first rows; `"stratified"`, a random share of each class, rounded and at
            least one row (a row of several classes counts for its first).
        seed: Decides which, for `"stratified"`.

    Returns:
        Sorted row numbers.

    Raises:
        InputError: If the fraction is not in (0, 1], or no row has a label.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"`labelled_fraction` must be above 0 and at most 1; received {fraction}.")
    known = labelled(labels)
    if not len(known):
        raise InputError(
            f"`labelled_fraction` {fraction} needs labels, and no training pair has one; leave it "
            "at 0."
        )
    if how == "first":
        return known[: max(1, round(fraction * len(known)))]
    random = np.random.default_rng(seed)
    chosen = []
    for first_class in range(labels.shape[1]):
        rows = known[labels[known].argmax(axis=1) == first_class]
        count = max(1, round(fraction * len(rows)))
        chosen.append(random.permutation(rows)[:count])
    return np.sort(np.concatenate(chosen))


def decided(config: SCLConfig, train: Pairs) -> tuple[SCLConfig, str | None]:
    """Decides what the config leaves open.

    Args:
        config: Its `mi_negatives` may be `auto`.
        train: The training pairs.

    Returns:
        The config, and a sentence that tells of the decision.
    """
    if config.mi_negatives != "auto":
        return config, None
    few = len(train) > SMALL_SET and not tf.config.list_physical_devices("GPU")
    config = replace(config, mi_negatives=FEW_NEGATIVES if few else 0)
    if not config.alpha:
        return config, None
    if not few:
        return config, "Mutual information takes all others of the batch as negatives (paper)."
    return config, (
        f"Mutual information takes {FEW_NEGATIVES} negatives a pair, because there is no GPU; all "
        "others of the batch, as in the paper, take about ten times as long: `mi_negatives` 0."
    )


SPEC = MethodSpec(
    name="scl",
    title="Self-supervised Correlation Learning",
    source="Liu et al., IEEE Transactions on Multimedia 2022, equations (1) to (15)",
    setting="semi-supervised",
    config=SCLConfig,
    learner=SCL,
    decide=decided,
    presets={
        "emoji_scenes": {
            "method": {
                "output_activation": "linear",
                "image_scaling": "center",
                "text_scaling": "center",
                "beta": 100.0,
                "mi_negatives": 8,
            },
            "training": {"learning_rate": 1e-3, "batch_size": 128, "epochs": 120},
        },
        "wikipedia": {"method": {"beta": 100.0}},
        **dict.fromkeys(("pairs", "features"), {"method": {"mi_negatives": "auto"}}),
    },
    preset_sources={
        "emoji_scenes": "measured by us for a small set of several classes a picture",
        "wikipedia": "the released code",
        **dict.fromkeys(("pairs", "features"), "ours, for sets of any size on any machine"),
    },
    examples=("--dataset wikipedia --labelled-fraction 0.1",),
)
