"""DRSL: Deep Relational Similarity Learning for Cross-Modal Retrieval (Wang et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.in_parts import in_parts, treats_rows_alone
from tfxmodal.heads.relation_network import RelationNetwork
from tfxmodal.heads.scaling import feature_scaling
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.relational_similarity import (
    balanced_weights,
    relational_similarity,
    similarity,
)
from tfxmodal.methods.learner import Batch, Method
from tfxmodal.retrieval.relation import RelationScorer


@dataclass(frozen=True)
class DRSLConfig:
    """DRSL; equations and sections are the paper's."""

    hidden_units: tuple[int, ...] = (1024,)
    """Units of the hidden layers of Image FNN and Text FNN (sec. 3.4: 1024 for Wikipedia and
    NUS-WIDE-10K, none for Pascal Sentences, 1024 1024 for XMediaNet and in the released code)."""

    feature_dim: int = 300
    """Width of z, the output of both FNNs (sec. 3.4: 300)."""

    encoder_batch_norm: bool = False
    """Batch normalisation in the FNNs (sec. 3.4: for XMediaNet; released code: yes)."""

    fusion: Literal["concatenation", "multiplication", "addition", "subtraction"] = "concatenation"
    """How z of an image and of a text become one vector, equation (4) (sec. 3.4, table 5)."""

    relation_layers: int = 1
    """Hidden layers of the relation network (sec. 3.4: 1; released code: 2)."""

    relation_units: int = 1024
    """Units of each (sec. 3.4: 1,024)."""

    relation_batch_norm: bool = False
    """Batch normalisation in the relation network, over all pairs of a batch (paper: no; released
    code: yes)."""

    dropout: float = 0.0
    """Fraction dropped before each layer of the FNNs but the first (paper, released code: none)."""

    image_scaling: Literal["none", "unit", "center", "standard"] = "none"
    """What is done to the image features first, fitted on the training split (paper: nothing): unit
    divides all by one number, to a mean square of 1; center gives each column mean 0, standard
    variance 1 as well."""

    text_scaling: Literal["none", "unit", "center", "standard"] = "none"
    """The same for the text features."""

    pair_weights: Literal["equal", "balanced"] = "equal"
    """Weights of the pairs in equation (10) (paper: equal). Balanced is ours: similar and
    dissimilar pairs count alike in all, however rare the similar ones are."""

    end_to_end: bool = False
    """Train the towers too, from pixels and token ids, instead of on cached features;
    --image-scaling and --text-scaling are fitted on the features of a few training rows before the
    training."""

    images_at_once: int = 0
    """Images of a batch whose activations are in memory together, end to end; those of the others
    are computed again for the gradient, for 1.4 times the time. 0: all of the batch. Not for image
    networks with batch normalisation, whose statistics are the whole batch's."""

    def __post_init__(self):
        limits = {
            "hidden_units": ("at least 1 each", all(units >= 1 for units in self.hidden_units)),
            "feature_dim": ("at least 1", self.feature_dim >= 1),
            "relation_layers": ("at least 1", self.relation_layers >= 1),
            "relation_units": ("at least 1", self.relation_units >= 1),
            "images_at_once": ("at least 0", self.images_at_once >= 0),
            "dropout": ("from 0 to below 1", 0 <= self.dropout < 1),
        }
        for name, (limit, kept) in limits.items():
            if not kept:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} must be {limit}; received {getattr(self, name)}.")


class DRSL(Method):
    """Two encoders and a relation network that scores each image-text pair.

    Algorithm 1: of a batch of images and a batch of texts, all pairs are scored, equation (8), and
    the scores are fitted to the similarity of the labels, equations (9) and (10). Images and texts
    need not be paired, nor of one number: the batches of unpaired sets are drawn from each set by
    itself.

    Args:
        train: Training pairs as features, with labels; widths and scale shape the networks.
        config: Hyper-parameters.
        towers: The networks from raw rows to features, `image` and `text`, where they are trained
            too; the pairs are then pixels `[n, side, side, 3]` and token ids `[n, words]`.

    Raises:
        InputError: If there are no labels.
    """

    def __init__(
        self, train: Pairs, config: DRSLConfig, towers: dict[str, keras.Model] | None = None
    ):
        if train.labels is None:
            raise InputError(
                "DRSL learns from labels, and this dataset has none: give labels, or train scl, "
                "which needs none (pls and random neither)."
            )
        self.config = config
        self.weights = {"relational_similarity": 1.0}
        self.networks = {}
        for kind, rows, scaling in (
            ("image", train.images, config.image_scaling),
            ("text", train.texts, config.text_scaling),
        ):
            inputs, outputs, features = _below(rows, towers and towers[kind])
            network = feature_network(
                features.shape[1],
                (*config.hidden_units, config.feature_dim),
                config.encoder_batch_norm,
                config.dropout,
                name=f"{kind}_fnn",
            )
            scaled = feature_scaling(features, scaling)(outputs)
            self.networks[f"{kind}_encoder"] = keras.Model(inputs, network(scaled))
        if config.images_at_once and not treats_rows_alone(self.networks["image_encoder"]):
            raise InputError(
                "--images-at-once goes with image networks without batch normalisation and "
                f"dropout, such as vgg19; received {config.images_at_once} with another: leave it "
                "out."
            )
        self.networks["relation"] = RelationNetwork(
            config.feature_dim,
            config.fusion,
            config.relation_layers,
            config.relation_units,
            config.relation_batch_norm,
        )

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """One stream of pairs; of unpaired sets a stream each of images and of texts."""
        if train.paired:
            return {"pairs": np.arange(len(train))}
        return {"images": np.arange(len(train.images)), "texts": np.arange(len(train.texts))}

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """Equation (10) on all pairs of this replica's images and the global batch's texts."""
        images, texts = batch.get("images"), batch.get("texts")
        if "pairs" in batch:
            images = texts = batch["pairs"]
        z_i = self._image_embeddings(images["images"])
        z_t = self.networks["text_encoder"](texts["texts"], training=True)
        scores = self.networks["relation"].all_pairs(z_i, replicas.gather(z_t), training=True)
        text_labels = replicas.gather(texts["labels"])
        target = similarity(images["labels"], text_labels)
        weights = None
        if self.config.pair_weights == "balanced":
            every = balanced_weights(similarity(replicas.gather(images["labels"]), text_labels))
            first = replicas.offset(target)
            weights = every[first : first + tf.shape(target)[0]]
        scores = tf.cast(scores, target.dtype)
        return {"relational_similarity": relational_similarity(scores, target, weights)}

    def _image_embeddings(self, images: tf.Tensor) -> tf.Tensor:
        """z_i of a batch, in training."""
        encoder, size = self.networks["image_encoder"], self.config.images_at_once
        return in_parts(encoder, images, size) if size else encoder(images, training=True)

    def scorer(self) -> RelationScorer:
        """Relation scores of the networks as they are."""
        return RelationScorer(
            self.networks["image_encoder"],
            self.networks["text_encoder"],
            self.networks["relation"],
            **{"batch_size": SAMPLE} if self.config.end_to_end else {},
        )


SAMPLE = 32
"""Raw rows at a time: those that scaling is fitted on, and those embedded in one go."""


def _below(rows, tower: keras.Model | None):
    """What is below an FNN: the encoder's input, the features in it, and features to scale by."""
    if tower is None:
        features = keras.Input([rows.shape[1]], name="features")
        return features, features, rows
    raw = keras.Input(tower.input_shape[1:], dtype=rows.dtype, name="raw")
    sample = keras.ops.convert_to_tensor(rows[:SAMPLE], tower.inputs[0].dtype)
    features = keras.ops.convert_to_numpy(tower(sample, training=False))
    return raw, tower(keras.ops.cast(raw, tower.inputs[0].dtype)), features
