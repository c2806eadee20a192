"""CCL: Cross-modal Correlation Learning with multi-grained fusion (Peng et al., TMM 2018).

The paper could not be had beyond its abstract: this is our reading of its released code
(PKU-ICST-MIPL/CCL_TMM2018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.text.text_cnn import FIRST_ID, WIDEST, word_vectors
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import MODALITIES, MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.margin_contrastive import margin_contrastive
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.relational_similarity import similarity
from tfxmodal.losses.squared_distance import squared_distance
from tfxmodal.methods.few_labels import with_few_labels
from tfxmodal.methods.learner import Batch, Stage
from tfxmodal.methods.scaled_features import STANDARD, scaled_inputs
from tfxmodal.methods.spec import GLOBAL, IN_PARTS, MethodSpec, come_in_parts
from tfxmodal.methods.staged.staged_method import StagedConfig, StagedMethod


@dataclass(frozen=True)
class CCLConfig(StagedConfig):
    """CCL; the sources are the released code's numbers."""

    grains: Literal["auto", "both", "coarse", "means"] = "auto"
    """What is read of an item: coarse, the whole, as one vector of features; both, its parts, too,
    which are the locations of an image and the words of a text (released code: regions and
    sentences); means, the whole of both without the parts, to measure what these are worth; auto,
    both where there are image files and captions, and encoders that give maps and words, else
    coarse."""

    grain_units: int = 1024
    """Units of the correspondence autoencoder of each grain (released code: 1,024)."""

    correspondence: float = 0.7
    """Weight of the distance between the codes of an image and its text; that of the reconstruction
    is the rest (released code: .7)."""

    joined_units: int = 2048
    """Units of the layer that joins a modality's grains (released code: 2,048)."""

    embedding_dim: int = 1024
    """Units of the two layers of the last network, of which the second is the common space
    (released code: 1,024)."""

    contrast_weight: float = 1.0
    """Weight of the contrastive loss beside that of the classes (released code: 1; its gradient is
    twice that of the loss, so that it counts as 2)."""

    margin: float = 1.0
    """Distance that images and texts of different classes are to have (released code: 1)."""

    def __post_init__(self):
        super().__post_init__()
        positive = ("grain_units", "joined_units", "embedding_dim")
        check_ranges(
            self,
            **dict.fromkeys(positive, "[1, inf)"),
            correspondence="[0, 1]",
            contrast_weight="[0, inf)",
            margin="(0, inf)",
        )
        if self.text_rows == "counts" and self.grains in ("both", "means"):
            raise InputError(
                "`text_rows` counts goes with `grains` coarse, since the others read vectors of "
                f"words; received {self.grains}: take one of them."
            )


class CCL(StagedMethod):
    """Whole items and their parts, whose codes correspond, and a network of two tasks above them.

    Of both modalities, stage by stage:

        level 1, 2:      RBMs on whole items, and others on parts, whose hidden units are averaged
                         over an item: the tops h_x of an image and h_t of a text, in each grain
        correspondence:  of each grain an autoencoder of either modality, with codes c_x and c_t:
                         .7 || c_x - c_t ||^2 + .3 (|| D(c_x) - h_x ||^2 + || D(c_t) - h_t ||^2)
        joined:          of each modality a Gaussian RBM over the codes of its grains, standardised
        classes:         a ReLU network above it, standardised, with the cross-entropy of the labels
        tasks:           z = W sigmoid(V k + a) + b of its last hidden layer k, standardised, and
                         a contrastive loss of sigmoid(z) over all images and texts of the batch
                         (`losses.margin_contrastive`), and the cross-entropy of the labels above z

    and the score is the cosine of sigmoid(z), standardised by the training pairs. Each stage trains
    its own layers alone. Pairs without a label are left out. Of several labels, the cross-entropy
    is a sigmoid's for each class, and images and texts that share one are of the same.

    With `grains` both, an image is a map, whose locations are the parts and whose mean is the whole
    (of EfficientNet-Lite0 that is the image's global feature, of VGG-19 it is not), and a text is
    its words: their vectors, which stay as they are, and the mean of these. With means there are
    these wholes alone. With coarse the wholes are features of their own, such as a bag of words,
    and CCL is named so though half of it is missing.

    What the released code does otherwise: parts are regions and sentences; stages have 10,000 to
    100,000 steps of SGD with momentum at rates of their own, here `stage_epochs` of Adam at one
    rate, since one training is to end in minutes; it standardises codes before the last network
    alone, by the training split; the last network's classes are 256 whatever their
    number, here as many as there are; codes are standardised by the test split. The paper weighs
    the grains by the item; neither the released code nor this one does.

    A step of N pairs takes O(N P) time for networks of P weights, those on parts as often as there
    are parts, and O(N^2 embedding_dim) in the last stage; memory is O(P), and that of the hidden
    units of all parts. Lower layers are computed again in every step.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters, with `grains` decided.
    """

    def __init__(self, inputs: MethodInputs, config: CCLConfig):
        super().__init__(config)
        self.grains = ("coarse", "fine") if config.grains == "both" else ("coarse",)
        self._in_parts, scaled = inputs.kinds == IN_PARTS, config
        if self._in_parts:
            inputs, scaled = self._with_word_vectors(inputs), replace(config, text_scaling="none")
        self._correspondence, self._tasks = [], []
        for kind, features, rows in scaled_inputs(inputs, scaled):
            codes = []
            read = self._grains(kind, features, rows)
            for grain in self.grains:
                of, shares = read[grain]
                top = self._top(f"{kind}_{grain}", features, of, shares)
                encode = keras.layers.Dense(config.grain_units, "sigmoid", dtype=self.full)
                decode = keras.layers.Dense(top.shape[-1], dtype=self.full)
                self._correspondence += [encode, decode]
                codes.append(encode(top))
                outputs = [codes[-1], top, decode(codes[-1])]
                self.networks[f"{kind}_{grain}"] = keras.Model(features, outputs)
            codes = self.standardised(keras.ops.concatenate(codes, axis=1))
            width = config.joined_units
            joined = self.machine(f"{kind}_joined", width, "gaussian", features, codes)
            hidden = self.classifier(kind, features, joined, inputs.classes)
            hidden = self.standardised(hidden)
            first = keras.layers.Dense(config.embedding_dim, "sigmoid", dtype=self.full)
            second = keras.layers.Dense(config.embedding_dim, dtype=self.full)
            classify = keras.layers.Dense(inputs.classes, dtype=self.full)
            self._tasks += [first, second, classify]
            z = second(first(hidden))
            code = keras.ops.sigmoid(z)
            self.networks[f"{kind}_tasks"] = keras.Model(features, [code, classify(z)])
            self.encoder(kind, features, code)

    def _with_word_vectors(self, inputs: MethodInputs) -> MethodInputs:
        """Inputs whose network gives the vectors of a text's words, scaled."""
        from tfxmodal.heads.scaling import feature_scaling

        self._words = word_vectors(inputs.networks["text"])
        rows = keras.Input(self._words.output_shape[1:])
        scaling = feature_scaling(rows.shape[-1], self.config.text_scaling)
        self._scaled_words = keras.Model(rows, scaling(rows))
        ids = keras.Input([None], dtype="int32", name="ids")
        network = keras.Model(ids, self._scaled_words(self._words([ids])))
        return replace(inputs, networks={"text": network})

    def _grains(self, kind: str, features, rows) -> dict:
        """Of each grain what is read of an item, and the shares of its parts where they differ."""
        if not self._in_parts:
            return {"coarse": (rows, None)}
        if kind == "image":
            return {"coarse": (_mean(rows), None), "fine": (rows, None)}
        from tfxmodal.encoders.text.pad_words import PadWords

        known = keras.ops.cast(PadWords(WIDEST)(features) >= FIRST_ID, self.full)
        count = keras.ops.sum(known, axis=1, keepdims=True)
        shares = known / keras.ops.maximum(count, 1)  # A text without a known word has none.
        return {"coarse": (_mean(rows, shares), None), "fine": (rows, shares)}

    def _top(self, name: str, features, rows, shares):
        """The hidden units of two machines, averaged over the parts of an item."""
        config = self.config
        image = name.startswith("image")
        first, second = config.image_units if image else config.text_units
        visible = "gaussian" if image else config.text_rows
        hidden = self.machine(f"{name}_1", first, visible, features, rows, shares)
        hidden = self.machine(f"{name}_2", second, "bernoulli", features, hidden, shares)
        return hidden if len(hidden.shape) == 2 else _mean(hidden, shares)

    def stages(self) -> list[Stage]:
        """Levels 1 and 2, correspondence, joined grains, classes, and the two tasks."""
        items = [f"{kind}_{grain}" for grain in self.grains for kind in MODALITIES]
        config, weights = self.config, {}
        for grain in self.grains:
            weights[f"{grain}_correspondence"] = config.correspondence
            weights[f"{grain}_reconstruction"] = 1 - config.correspondence
        tasks = {"contrastive": config.contrast_weight, "image_classes": 1.0, "text_classes": 1.0}
        return [
            self.machines_stage("level 1", *(f"{item}_1" for item in items)),
            self.machines_stage("level 2", *(f"{item}_2" for item in items)),
            self.stage("correspondence", self.correspondence, weights, self._correspondence),
            self.machines_stage("joined", *(f"{kind}_joined" for kind in MODALITIES)),
            self.classes_stage(),
            self.stage("tasks", self.task_terms, tasks, self._tasks, last=True),
        ]

    def correspondence(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The correspondence autoencoders of each grain."""
        terms = {}
        for grain in self.grains:
            images, texts = self.embed(batch["pairs"], grain)
            terms[f"{grain}_correspondence"] = squared_distance(images[0], texts[0])
            errors = [squared_distance(decoded, top) for _, top, decoded in (images, texts)]
            terms[f"{grain}_reconstruction"] = tf.add_n(errors)
        return terms

    def task_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The contrastive loss of the global batch, and the cross-entropies of this replica's."""
        labels = batch["pairs"]["labels"]
        (u, of_u), (v, of_v) = self.embed(batch["pairs"], "tasks")
        pairs = PairBatch.gathered(u, v, labels, replicas)
        same = similarity(labels, pairs.labels)
        return {
            "contrastive": margin_contrastive(pairs, same, self.config.margin),
            "image_classes": self.cross_entropy(of_u, labels),
            "text_classes": self.cross_entropy(of_v, labels),
        }

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Fits the scaling of features; that of words by the vectors of all, each once."""
        from tfxmodal.heads.scaling import adapt

        super().adapt(train, validation, select_by, progress)
        if self._in_parts:
            end = self._words.get_layer("vectors").input_dim
            adapt(self._scaled_words, self._words([np.arange(FIRST_ID, end)[None]]).numpy())


def _mean(rows, shares=None):
    """The mean of parts `[n, parts, dim]`, by the share of each `[n, parts]`: `[n, dim]`."""
    if shares is None:
        return keras.ops.mean(rows, axis=1)
    return keras.ops.sum(rows * shares[..., None], axis=1)


def decided(config: CCLConfig, train: Pairs, data: DataConfig) -> tuple[CCLConfig, str | None]:
    """Decides which grains are read, where it is `auto`, and tells where items have no parts.

    Raises:
        InputError: If the config asks for parts, and there are none.
    """
    grains = config.grains
    if grains == "auto":
        parts = come_in_parts(train, data) and config.text_rows != "counts"
        grains = "both" if parts else "coarse"
    config = replace(config, grains=grains)
    if grains == "coarse":
        return config, "CCL reads whole items alone, no parts of them: `grains` coarse."
    if train.has_contents:
        return config, None
    raise InputError(
        f"`grains` {grains} reads locations of images and words of texts; received ready features, "
        "which have no parts: give image files and captions, or take coarse."
    )


def kinds_of(config: CCLConfig) -> dict[str, str]:
    """What is read of either modality."""
    return GLOBAL if config.grains == "coarse" else IN_PARTS


SPEC = MethodSpec(
    name="ccl",
    title="Cross-modal correlation learning with multi-grained fusion",
    source="Peng et al., TMM 2018, by its released code PKU-ICST-MIPL/CCL_TMM2018",
    setting="supervised",
    config=CCLConfig,
    learner=CCL,
    inputs=kinds_of,
    decide=decided,
    seen=with_few_labels,
    needs_labels=True,
    presets={
        "": {
            "method": STANDARD,
            "training": {"batch_size": 80, "learning_rate": 1e-3},
        }
    },
    preset_sources={"": "scaling and batch: the released code; learning rate: ours, for Adam"},
    search_space={
        "layers": ("rbm", "autoencoder"),
        "stage_epochs": (20, 50),
        "contrast_weight": (0.5, 1.0, 2.0),
        "learning_rate": (1e-4, 1e-3),
    },
)
