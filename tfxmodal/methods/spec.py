"""The one record of a method, from which commands, evaluation, export and documentation read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.lazy import keras
from tfxmodal.methods.few_labels import check_classes
from tfxmodal.retrieval.scorer import Scorer

GLOBAL = {"image": "global", "text": "global"}
IN_PARTS = {"image": "map", "text": "words"}


def inputs_of(config) -> Mapping[str, str]:
    """What a method reads that can be trained end to end: features, or pixels and token ids."""
    return {"image": "pixels", "text": "words"} if config.end_to_end else GLOBAL


def come_in_parts(train: Pairs, data: DataConfig) -> bool:
    """Whether a method can read locations of images and words of texts."""
    return train.has_contents and data.encodes_parts


@dataclass(frozen=True)
class Fitted:
    """A fitted method: Keras networks and a scorer, however it was fitted.

    Attributes:
        networks: `image_encoder` and `text_encoder` take what the method reads of each modality;
            `image_NAME` and `text_NAME` are those of another similarity, see `other_scorers`.
        chosen: What was chosen on validation, by the config field's name.
        tried: The validation score of each candidate, by a name for people.
    """

    networks: Mapping[str, keras.Model]
    chosen: Mapping[str, Any] = field(default_factory=dict)
    tried: Mapping[str, float] = field(default_factory=dict)

    def scorer(self) -> Scorer:
        """The cosine of both encoders' outputs, which are unit vectors."""
        return self._cosine("encoder")

    def other_scorers(self) -> dict[str, Scorer]:
        """Other similarities of the same fit, by name, that an evaluation measures beside it."""
        names = {each.partition("_")[2] for each in self.networks} - {"encoder"}
        return {name: self._cosine(name) for name in sorted(names)}

    def _cosine(self, name: str) -> Scorer:
        from tfxmodal.retrieval.cosine import CosineScorer

        return CosineScorer(self.networks[f"image_{name}"], self.networks[f"text_{name}"])

    def measured(self, pairs: Pairs) -> dict:
        """What `evaluate_pairs` gives for pairs of features."""
        from tfxmodal.evaluation.protocol import evaluate_pairs

        return evaluate_pairs(self.scorer(), pairs)

    def fitted(self) -> Fitted:
        """Itself: a candidate of a choice that is there already."""
        return self


@dataclass(frozen=True)
class MethodSpec:
    """A method. It has either `learner` or `fit`.

    Attributes:
        name: By which users know it.
        title: What the name stands for.
        source: Paper, equations or sections, released code.
        setting: Whether it learns without labels, with a few, or with all.
        config: A frozen dataclass, whose fields are the method's flags.
        learner: Builds what gradients train: `learner(inputs: MethodInputs, config) -> Method`.
        fit: Fits in closed form: `fit(train, validation, config, select_by, seed, progress) ->
            Fitted`, and with `test=pairs` where it is `transductive`.
        transductive: From a config to whether the fit reads the features of the test pairs, too,
            but not their labels.
        refit: The config of a second fit, on more pairs, by which it is the same method:
            `refit(config, pairs of the first fit, pairs of the second) -> config`. It raises an
            `InputError` where there cannot be one.
        reopen: Of a method in closed form: from its saved networks and what was chosen to the
            `Fitted` that it was.
        inputs: From a config to the kind of input of `image` and `text` (see `inputs.spec`).
        shared_space: From a config to whether features of images and texts are compared as they
            are, so that they must be of one space.
        needs_pairs: Whether images and texts must be paired row by row.
        needs_labels: Whether every training pair needs a label.
        needs_classes: Whether the labels must tell training pairs apart.
        seen: The training pairs with the labels that the method may see, or with numbers of
            their images where it needs them: `seen(train, config, seed) -> Pairs`.
        decide: Settles, when a run begins, the config's fields that are `auto`: `decide(config,
            train, data: DataConfig) -> (config, a sentence that tells or None)`.
        follows_epochs: From a config to whether what an epoch learns depends on how many there are
            in all, so that a run cannot go on with another number.
        presets: By dataset the defaults that differ from the config's own, by group (`method`,
            `training`); `""` is every dataset.
        recommended: By name the forms in which the method measures best, each with what differs
            from the config's defaults, by group; without any the defaults are taken.
        search_space: What tuning tries: by field of the config, or of the training's, the values.
        for_auto: Whether `auto` tries it; the others are there to compare with.
        preset_sources: By dataset where its presets come from, for `--help`.
        examples: Flags of a command line or two that `--help` shows.
    """

    name: str
    title: str
    source: str
    setting: Literal["unsupervised", "semi-supervised", "supervised"]
    config: type
    learner: Callable | None = None
    fit: Callable | None = None
    transductive: Callable[[Any], bool] = lambda config: False
    refit: Callable[[Any, int, int], Any] = lambda config, first, second: config
    reopen: Callable[[Mapping[str, keras.Model], Mapping[str, Any]], Fitted] = Fitted
    inputs: Callable[[Any], Mapping[str, str]] = lambda config: GLOBAL
    seen: Callable[[Pairs, Any, int], Pairs] = lambda train, config, seed: train
    decide: Callable[[Any, Pairs, DataConfig], tuple[Any, str | None]] = (
        lambda config, train, data: (config, None)
    )
    shared_space: Callable[[Any], bool] = lambda config: False
    follows_epochs: Callable[[Any], bool] = lambda config: False
    needs_pairs: bool = True
    needs_labels: bool = False
    needs_classes: bool = False
    presets: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    recommended: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    search_space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    for_auto: bool = False
    preset_sources: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    def preset(self, dataset: str, group: str) -> dict[str, Any]:
        """The defaults of `method` or `training` for a dataset, where they differ."""
        common, own = (self.presets.get(name, {}).get(group, {}) for name in ("", dataset))
        return {**common, **own}

    def learns_from_labels(self, config) -> bool:
        """Whether the labels of training pairs change what a method of this config learns."""
        if self.setting == "semi-supervised":
            return config.labelled_fraction > 0
        return self.needs_labels

    def check(self, train: Pairs):
        """Checks, before any work, that the method can learn from training pairs.

        Raises:
            InputError: If they lack pairs or labels that it needs, or all labels are the same where
                it needs classes.
        """
        if self.needs_pairs and not train.paired:
            raise InputError(
                f"{self.name} learns from pairs, and the training images and texts are not paired "
                f"({len(train.images)} images, {len(train.texts)} texts): give pairs, or train "
                "drsl."
            )
        if not self.needs_labels:
            return
        sides = [train.labels] if train.paired else [train.labels, train.text_labels]
        given = [labels for labels in sides if labels is not None and labels.any()]
        if len(given) < len(sides):
            raise InputError(
                f"{self.name} learns from labels, and the training pairs have none: give labels, "
                "or take a method that needs none (scl, pls, ridge_cca)."
            )
        if self.needs_classes:
            check_classes(np.concatenate(given))
