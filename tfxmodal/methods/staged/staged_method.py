"""What the methods share that are trained layer by layer, in stages: CMDN and CCL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.layers import batch_normalization
from tfxmodal.inputs.spec import MODALITIES
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.classification import classification
from tfxmodal.methods.closed_form.standardised import chunks
from tfxmodal.methods.few_labels import FewLabels
from tfxmodal.methods.gradient.cosine_method import CosineMethod, scorer_of
from tfxmodal.methods.learner import Batch, Stage, Update
from tfxmodal.methods.scaled_features import ScaledFeatures
from tfxmodal.retrieval.cosine import CosineScorer


@dataclass(frozen=True)
class StagedConfig(ScaledFeatures, FewLabels):
    """What CMDN and CCL have in common; the released code is that of either."""

    layers: Literal["rbm", "autoencoder"] = "rbm"
    """How layers are trained without labels: rbm, as restricted Boltzmann machines (released code);
    or autoencoder, as denoising autoencoders of the same units, which is ours and cheaper."""

    image_units: tuple[int, int] = (2048, 1024)
    """Units of the two layers on image features (released code: 2048 1024)."""

    text_units: tuple[int, int] = (1024, 1024)
    """Units of the two layers on text features (released code: 1024 1024)."""

    text_rows: Literal["gaussian", "counts"] = "gaussian"
    """What the text features are to the first layer: gaussian, any numbers, to be standardised; or
    counts, how often a text has each word, as whole numbers (released code: counts)."""

    hidden_units: tuple[int, ...] = (1024, 1024, 1024)
    """Units of the hidden layers of each modality's classifier (released code: 1024 1024 1024)."""

    stage_epochs: int = 20
    """Epochs of each stage before the last one, for which `epochs` is (released code: 10,000 to
    200,000 steps, on Wikipedia some thousand epochs a stage). Some hundred pairs need 150: their
    epochs have few steps."""

    def __post_init__(self):
        super().__post_init__()
        positive = ("image_units", "text_units", "hidden_units", "stage_epochs")
        check_ranges(self, **dict.fromkeys(positive, "[1, inf)"))
        if not self.hidden_units:
            raise InputError("`hidden_units` must name a layer at least; received none: give one.")
        if self.text_rows == "counts" and self.text_scaling != "none":
            raise InputError(
                "`text_scaling` must be none where `text_rows` is counts, which it would change; "
                f"received {self.text_scaling}: take none."
            )


class StagedMethod(CosineMethod):
    """Layers that are trained one after the other, each on what those below it give.

    Subclasses build in `__init__` the networks, and in `stages` say what each stage trains.

    Attributes:
        machines: By name a layer that is trained without labels, and the model of what it reads.
    """

    labelled_only = True

    def __init__(self, config: StagedConfig):
        self.config, self.networks = config, {}
        self.full = keras.config.floatx()
        self.parts, self.machines, self._classifiers, self._scalings = {}, {}, {}, {}

    # --- networks -------------------------------------------------------------------------------

    def machine(self, name: str, units: int, visible: str, features, rows, shares=None):
        """A layer that is trained without labels.

        Args:
            name: Of its term; it begins with the modality's.
            units: See `RBM`.
            visible: See `RBM`.
            features: The Keras input of the modality.
            rows: What the layer reads, `[n, width]`, or `[n, parts, width]`.
            shares: What each part counts of its item, `[n, parts]`; all alike by default.

        Returns:
            Its output for the rows.
        """
        from tfxmodal.heads.rbm import LAYERS

        layer = LAYERS[self.config.layers](units, visible, dtype=self.full)
        read = {"rows": rows} if shares is None else {"rows": rows, "shares": shares}
        self.machines[name] = layer, keras.Model(features, read)
        return layer(rows)

    def standardised(self, rows):
        """Codes whose columns have mean 0 and variance 1, in training in the batch."""
        return batch_normalization(self.full, affine=False)(rows)

    def classifier(self, kind: str, features, rows, classes: int):
        """A classifier of a modality's codes `[n, width]`; returns the last hidden layer's output.

        The codes are standardised, since after few epochs they differ little from item to item. The
        logits are those of the network `KIND_classifier`.
        """
        hidden = feature_network(
            rows.shape[-1], self.config.hidden_units, name=f"{kind}_hidden_layers"
        )
        logits = keras.layers.Dense(classes, dtype=self.full)
        last = hidden(self.standardised(rows))
        self.networks[f"{kind}_classifier"] = keras.Model(features, logits(last))
        self._classifiers[kind] = hidden, logits
        return last

    def encoder(self, kind: str, features, code):
        """The last code of a modality, standardised, at unit length: where the cosine is taken."""
        from tfxmodal.heads.projector import L2Normalize
        from tfxmodal.heads.scaling import feature_scaling

        codes = keras.Input(code.shape[1:], name="codes")
        self._scalings[kind] = scaling = feature_scaling(code.shape[-1], "standard")
        unit = keras.Model(codes, L2Normalize(dtype=self.full)(scaling(codes)))
        self.parts[f"{kind}_code"] = keras.Model(features, code)
        self.networks[f"{kind}_encoder"] = keras.Model(features, unit(code))

    # --- stages ---------------------------------------------------------------------------------

    def stage(self, name: str, losses, weights: dict[str, float], layers: Sequence, last=False):
        """A stage that trains some layers: for `stage_epochs`, or as the last one validated."""
        variables = [variable for layer in layers for variable in layer.trainable_variables]
        update = Update(name, losses, weights, variables)
        return Stage(name, [update], None if last else self.config.stage_epochs, last)

    def machines_stage(self, name: str, *machines: str) -> Stage:
        """A stage of layers that are trained without labels."""
        layers = [self.machines[machine][0] for machine in machines]
        losses = partial(self.machine_terms, machines)
        return self.stage(name, losses, dict.fromkeys(machines, 1.0), layers)

    def classes_stage(self) -> Stage:
        """The stage of both classifiers."""
        layers = [layer for both in self._classifiers.values() for layer in both]
        weights = {f"{kind}_classes": 1.0 for kind in MODALITIES}
        return self.stage("classes", self.class_terms, weights, layers)

    def machine_terms(self, machines: Sequence[str], batch: Batch, replicas) -> dict:
        """The mean loss of each machine over this replica's items."""
        terms = {}
        for name in machines:
            layer, below = self.machines[name]
            kind, *_ = name.split("_")
            read = below(batch["pairs"][f"{kind}s"], training=True)
            losses = layer.row_losses(read["rows"], replicas)
            if "shares" in read:
                losses = tf.reduce_sum(read["shares"] * losses, axis=1)
            terms[name] = tf.reduce_mean(losses)
        return terms

    def class_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The cross-entropy of both classifiers."""
        rows = batch["pairs"]
        both = zip(MODALITIES, self.embed(rows, "classifier"), strict=True)
        return {f"{kind}_classes": self.cross_entropy(z, rows["labels"]) for kind, z in both}

    def cross_entropy(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """See `losses.classification`; sigmoids where pairs have several classes."""
        return classification(logits, labels, self._exclusive)

    # --- data -----------------------------------------------------------------------------------

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Fits the scaling of the features; the labels decide what a cross-entropy is.

        Raises:
            InputError: If texts are not counts, and are to be.
        """
        if self.config.text_rows == "counts":
            for pairs in (train, validation):
                check_counts(pairs.texts)
        super().adapt(train, validation, select_by, progress)
        self._exclusive = train.exclusive

    def settle(self, train: Pairs):
        """Standardises the codes by those of all pairs that it learns from."""
        images, texts = self.learned_features(train)
        self._scalings["image"].adapt(self._codes.embed_images(images))
        self._scalings["text"].adapt(self._codes.embed_texts(texts))

    @cached_property
    def _codes(self) -> CosineScorer:
        """Gives the codes of rows in batches; it scores nothing."""
        return scorer_of(self.parts["image_code"], self.parts["text_code"])


def check_counts(texts: Features):
    """Checks that rows of texts are counts of words.

    Raises:
        InputError: If a number is no whole one, or below 0.
    """
    for part in chunks(len(texts)):
        rows = np.asarray(texts[part])
        wrong = np.argwhere(~((rows >= 0) & (rows == np.floor(rows))))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(
                "`text_rows` counts needs text features that are whole numbers from 0 up; received "
                f"{rows[row, column]:g} in row {part.start + row}: give counts, or take gaussian."
            )
