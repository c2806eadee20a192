"""Dual-Path: instance loss and ranking loss (Zheng et al., ACM TOMM 2020, arXiv 1711.05535)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.instance import instance
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.ranking import ranking
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, Stage, Update
from tfxmodal.methods.spec import MethodSpec, inputs_of

MOST_CLASSES = 8192
"""Instance classes that `auto` makes at most: 67 MB of weights, and as much of momentum."""


@dataclass(frozen=True)
class DualPathConfig(Binary):
    """Dual-Path; where a default names no source, it is the released code's."""

    hidden_units: tuple[int, ...] = (2048,)
    """Units of the hidden layers of each path (ours, on features: 2048)."""

    embedding_dim: int = 2048
    """Dimensions of the common space (released code: 2,048)."""

    dropout: float = 0.5
    """Fraction of the embedding that is dropped before the instance classes (released code: .5)."""

    instance_classes: int | Literal["auto"] = "auto"
    """Classes of the instance loss: auto, one for each training image, but at most 8,192. Where
    there are more images than classes, each class is a bucket of images."""

    instance_epochs: int = 70
    """Most epochs of stage I, the instance loss alone (released code: 70); `epochs` is of stage
    II."""

    ranking_weight: float = 1.0
    """Weight of the ranking loss in stage II, a mean over anchors (released code: 2, of a sum over
    the half of a batch that are anchors, divided by the whole batch, which is the same)."""

    image_weight: float = 1.0
    """Weight of the images' instance loss in stage II (released code: 1)."""

    text_weight: float = 0.1
    """Weight of the texts' instance loss in stage II (released code: .1)."""

    margin: float = 1.0
    """Margin of the ranking loss (released code: 1)."""

    negatives: Literal["hardest", "all"] = "hardest"
    """Wrong partners in the ranking loss: the hardest of the batch (released code: the hardest of
    256 random texts, and any other image), or the mean of all."""

    as_released: bool = False
    """Compare embeddings before their last ReLU, as the released test does, though it is those
    behind it that are trained."""

    end_to_end: bool = False
    """Train the encoders too, from pixels and token ids, instead of on cached features: the text
    encoder in both stages, the image encoder in stage II."""

    image_rate: float = 0.001
    """What the learning rate of the image encoder is multiplied by, of end to end alone (released
    code: .001)."""

    def __post_init__(self):
        check_bits(self)
        positive, weights = ("hidden_units", "embedding_dim", "instance_epochs"), "[0, inf)"
        check_ranges(
            self,
            **dict.fromkeys(positive, "[1, inf)"),
            **dict.fromkeys(("ranking_weight", "image_weight", "text_weight", "margin"), weights),
            image_rate=weights,
            dropout="[0, 1)",
        )
        if self.instance_classes != "auto":
            check_ranges(self, instance_classes="[1, inf)")


class DualPath(CosineMethod):
    """Two paths into a common space, whose pairs are told apart as classes, then ranked.

        stage I:   L = CE(W_s^T u_i, i) + CE(W_s^T v_i, i)
        stage II:  L = L_rank + CE(W_s^T u_i, i) + .1 CE(W_s^T v_i, i)

    with the embeddings u and v of an image and its text, one matrix W_s `[dim, classes]` for both,
    which so draws them together, and the ranking loss L_rank on unit vectors (`losses/
    ranking.py`). Rows of one image are one class, and no wrong partners of each other.

    The paper could not be had beyond its abstract; weights and settings are those of the released
    code (layumi/Image-Text-Embedding), and this is our reading of it. What the code does
    otherwise: its paths are a CNN on pixels and a deep CNN on words, here each is a perceptron
    with batch normalisation on features or, `end_to_end`, above the encoders of the data, which are
    then trained too, a text CNN in place of the deep one; half of its batch are the wrong partners
    of the other half, here they are found among the global batch; the learning rate of stage II
    falls once, here validation chooses the epoch of either stage.

    W_s has a column an image: of MS-COCO's 82,081 pairs 168 million weights. More images than
    `instance_classes` share columns, image i having column i modulo their number. A sampled softmax
    would keep a column for each, and SGD with momentum changes all of them in every step, so that
    it saves neither memory nor much time. Images of one bucket are told apart by the ranking loss
    alone. A step costs O(B (P + dim classes) + B^2 dim) time, and memory is O(P + dim classes), for
    a batch of B pairs and paths of P weights.

    Args:
        inputs: Widths of the features.
        config: Hyper-parameters, with the number of instance classes decided.
    """

    def __init__(self, inputs: MethodInputs, config: DualPathConfig):
        from tfxmodal.heads.gradient_reversal import GradientReversal

        self.config = config
        self.networks = {}
        precise = keras.config.floatx()
        for kind in ("image", "text"):
            rows, features = inputs.features(kind)
            network = feature_network(
                features.shape[-1],
                (*config.hidden_units, config.embedding_dim),
                batch_norm=True,
                output_activation="linear",
                name=f"{kind}_network",
            )
            relu, trained = keras.layers.ReLU(dtype=precise), features
            if config.end_to_end and kind == "image":  # Reversed twice: a gradient of that length.
                trained = GradientReversal(-config.image_rate, dtype=precise)(features)
            compared = network(features) if config.as_released else relu(network(features))
            self.add_encoder(kind, rows, self.coded(kind, rows, compared))
            path = self.coded(kind, rows, relu(network(trained)))  # Last: these bits are trained.
            self.networks[f"{kind}_path"] = keras.Model(rows, path)
            if kind == "image":
                self._below, self._above = keras.Model(rows, features), keras.Model(features, path)
        embedding = keras.Input([config.width], name="embedding")
        dropped = keras.layers.Dropout(config.dropout, dtype=precise)(embedding)
        classes = keras.layers.Dense(config.instance_classes, use_bias=False, dtype=precise)
        self.networks["instances"] = keras.Model(embedding, classes(dropped))
        images = inputs.networks.get("image")
        self._image_encoder = images.trainable_variables if images else []

    def stages(self) -> list[Stage]:
        """Stage I, the instance loss; stage II, ranking beside it."""
        config, everything = self.config, self.trainable_variables()
        known = {id(variable) for variable in self._image_encoder}
        new = [variable for variable in everything if id(variable) not in known]
        alone = {"image_instance": 1.0, "text_instance": 1.0}
        ranked = {
            "ranking": config.ranking_weight,
            "image_instance": config.image_weight,
            "text_instance": config.text_weight,
        } | config.code_weights
        lightly = partial(nesterov, undecayed=self._image_encoder)
        one = Update("instance", self.instance_terms, alone, new, nesterov)
        two = Update("ranking", self.loss_terms, ranked, everything, lightly)
        return [Stage("instance", [one], config.instance_epochs), Stage("ranking", [two])]

    def instance_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The instance losses of this replica's images and texts; the image encoder waits."""
        rows = batch["pairs"]
        features = self._below(rows["images"], training=False)
        image = self._above(features, training=True)
        text = self.networks["text_path"](rows["texts"], training=True)
        return self._instance_terms((image, text), rows["image_ids"])

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The instance losses, and ranking against the pairs of the global batch."""
        config, rows = self.config, batch["pairs"]
        embeddings, numbers = self.embed(rows, "path"), rows["image_ids"]
        units = [tf.math.l2_normalize(each, axis=1) for each in embeddings]
        pairs = PairBatch.gathered(*units, replicas=replicas)
        same = numbers[:, None] == replicas.gather(numbers)
        rank = ranking(pairs, same, config.margin, config.negatives == "hardest")
        terms = self._instance_terms(embeddings, numbers) | {"ranking": rank}
        return terms | self.quantised(rows)

    def _instance_terms(self, embeddings, numbers) -> dict[str, tf.Tensor]:
        classify = self.networks["instances"]
        image, text = (instance(classify(each, training=True), numbers) for each in embeddings)
        return {"image_instance": image, "text_instance": text}


def nesterov(learning_rate: float, undecayed: Sequence = ()) -> keras.optimizers.SGD:
    """SGD with Nesterov's momentum of .9 (released code), with variables left out of the decay."""
    optimizer = keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)
    optimizer.exclude_from_weight_decay(var_list=list(undecayed))
    return optimizer


def numbered(train: Pairs, config: DualPathConfig, seed: int) -> Pairs:
    """The pairs with their images numbered 0, 1, ..., the classes of the instance loss."""
    _, numbers = np.unique(train.owners, return_inverse=True)
    return replace(train, image_ids=numbers)


def decided(
    config: DualPathConfig, train: Pairs, data: DataConfig
) -> tuple[DualPathConfig, str | None]:
    """Decides the number of instance classes, where it is `auto`.

    Args:
        config: The config.
        train: The training pairs.
        data: Not needed here.

    Returns:
        The config, and a sentence where images share classes.
    """
    if config.instance_classes != "auto":
        return config, None
    images = len(np.unique(train.owners))
    config = replace(config, instance_classes=min(images, MOST_CLASSES))
    if images <= MOST_CLASSES:
        return config, None
    return config, (
        f"{images:,} training images share {MOST_CLASSES:,} instance classes; one each takes "
        f"{images * config.width * 8 / 1e9:.1f} GB: `instance_classes` {images}."
    )


SPEC = MethodSpec(
    name="dual_path",
    title="Dual-Path: instance loss and ranking loss",
    source="Zheng et al., ACM TOMM 2020; released code layumi/Image-Text-Embedding",
    setting="unsupervised",
    config=DualPathConfig,
    learner=DualPath,
    inputs=inputs_of,
    seen=numbered,
    decide=decided,
    presets={
        "": {
            "training": {
                "epochs": 20,
                "batch_size": 32,
                "learning_rate": 0.1,
                "weight_decay": 1e-3,
            }
        }
    },
    # It adds the decay to the gradient, where momentum makes ten times as much of it.
    preset_sources={"": "the released code, whose weight decay of .0001 is .001 here"},
    search_space={
        "negatives": ("hardest", "all"),
        "margin": (0.2, 1.0),
        "learning_rate": (1e-2, 1e-1),
        "batch_size": (32, 128),
    },
)
