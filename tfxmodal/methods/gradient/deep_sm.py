"""Deep semantic matching: one neural classifier in each modality (Wei et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.classification import classification
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, sides
from tfxmodal.methods.scaled_features import STANDARD, ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec

CROSS_ENTROPIES = {"image_classification": 1.0, "text_classification": 1.0}
"""The terms of both classifiers, and their weights."""


@dataclass(frozen=True)
class DeepSMConfig(ScaledFeatures, FewLabels):
    """Deep semantic matching; where a default names no source, it is ours."""

    hidden_units: tuple[int, ...] = (1024,)
    """Units of the hidden layers of each classifier; none is a logistic regression."""

    dropout: float = 0.0
    """Fraction dropped before each layer but the first."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self, hidden_units="[1, inf)", dropout="[0, 1)")


class DeepSM(CosineMethod):
    """Two classifiers of the same classes, trained apart; the posteriors are compared.

        L = CE(f(x), y) + CE(g(t), y),   score(x, t) = cos(p(class | x), p(class | t))

    with networks f and g from features to logits. The posteriors are a softmax where no training
    row has several classes, else a sigmoid a class, and CE is the cross-entropy of either. No term
    joins the modalities, so images and texts need not be paired. Rows without a label are left out.

    The paper could not be had beyond its abstract: this is our reading of it. It fine-tunes a CNN
    on the images and trains a fully connected network on text features; here both networks read
    features, and `encoders` of the data takes those of a fine-tuned CNN. A step costs O(B P) time,
    for a batch of B rows and networks of P weights; memory is O(P).

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    labelled_only = True

    def __init__(self, inputs: MethodInputs, config: DeepSMConfig):
        self.weights = dict(CROSS_ENTROPIES)
        self.networks = {}
        for kind, features, scaled in scaled_inputs(inputs, config):
            classify = feature_network(
                scaled.shape[-1],
                (*config.hidden_units, inputs.classes),
                dropout=config.dropout,
                output_activation="linear",
                name=f"{kind}_network",
            )
            self._add(kind, features, classify(scaled))

    def _add(self, kind: str, rows, logits):
        """Makes the networks of a modality, from its rows to logits and to unit posteriors."""
        self.networks[f"{kind}_classifier"] = keras.Model(rows, logits)
        self.add_encoder(kind, rows, self._probabilities(logits))

    @cached_property
    def _probabilities(self) -> keras.layers.Layer:
        from tfxmodal.heads.semantic_start import Probabilities

        return Probabilities(dtype=keras.config.floatx())

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Fits the scaling of the features; the labels decide what the posteriors are."""
        super().adapt(train, validation, select_by, progress)
        self._exclusive = train.exclusive
        self._probabilities.exclusive.assign(self._exclusive)

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The cross-entropy of this replica's images, and of its texts."""
        return self._cross_entropies(batch, self._logits(batch))

    def _logits(self, batch: Batch) -> list[tf.Tensor]:
        """Those of a batch's images `[n, classes]`, and of its texts `[m, classes]`."""
        images, texts = sides(batch)
        return [
            self.networks["image_classifier"](images["images"], training=True),
            self.networks["text_classifier"](texts["texts"], training=True),
        ]

    def _cross_entropies(self, batch: Batch, logits: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            name: classification(each, rows["labels"], self._exclusive)
            for name, each, rows in zip(CROSS_ENTROPIES, logits, sides(batch), strict=True)
        }


SPEC = MethodSpec(
    name="deep_sm",
    title="Deep semantic matching: a neural classifier in each modality",
    source="Wei et al., IEEE Transactions on Cybernetics 2017; our reading",
    setting="supervised",
    config=DeepSMConfig,
    learner=DeepSM,
    seen=with_few_labels,
    needs_pairs=False,
    needs_labels=True,
    presets={
        "": {
            "method": STANDARD,
            "training": {"batch_size": 100},
        }
    },
    preset_sources={
        "": "scaling as in semantic_matching; batch: its rivals' released code (DSCMR, SDML, MRL)"
    },
    search_space={
        "hidden_units": ((), (1024,), (1024, 1024)),
        "dropout": (0.0, 0.5),
        "learning_rate": (1e-4, 1e-3),
    },
)
