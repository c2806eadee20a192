"""FGCrossNet: fine-grained cross-media retrieval (He et al., ACM MM 2019, arXiv 1907.04476).

The paper could not be had beyond its abstract: this is our reading of it and of its released code
(PKU-ICST-MIPL/FGCrossNet_ACMMM2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tfxmodal.errors import check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.quadruplet import quadruplet
from tfxmodal.losses.squared_distance import squared_distance
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.deep_sm import CROSS_ENTROPIES, DeepSM
from tfxmodal.methods.learner import Batch, Stage, Update, sides
from tfxmodal.methods.scaled_features import ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec, inputs_of


@dataclass(frozen=True)
class FGCrossNetConfig(ScaledFeatures, FewLabels):
    """FGCrossNet; where a default names no source, it is the released code's."""

    first_units: int = 2048
    """Units of the layer that each medium has for itself (ours, on features: 2048)."""

    hidden_units: tuple[int, ...] = (1024,)
    """Units of the hidden layers of the trunk that both media share (ours, on features: 1024)."""

    centre_weight: float = 1e-3
    """Weight of the centre loss (released code: .001)."""

    quadruplet_weight: float = 0.1
    """Weight of the quadruplet loss in stage II (released code: .1)."""

    margin: float = 1.0
    """By how much a point is farther from a point of another class than from one of its own
    (released code: 1)."""

    second_margin: float = 0.5
    """By how much two points of other classes are farther apart (released code: .5)."""

    quadruplets: int = 8
    """Quadruplets that begin at each image and text of a batch (released code: all that there are,
    of batches of 16)."""

    centre_epochs: int = 50
    """Most epochs of stage I, which has no quadruplet loss (released code: 50); `epochs` is of
    stage II."""

    as_released: bool = False
    """One hinge on the sum of both comparisons of a quadruplet, as in the released code, instead of
    one on each."""

    end_to_end: bool = False
    """Train the encoders too, from pixels and words (or characters: text_tokens), instead of on
    cached features; image_scaling and text_scaling are then fitted to the features of a few
    training rows."""

    def __post_init__(self):
        super().__post_init__()
        positive = ("first_units", "hidden_units", "quadruplets", "centre_epochs")
        weights = ("centre_weight", "quadruplet_weight", "margin", "second_margin")
        check_ranges(
            self, **dict.fromkeys(positive, "[1, inf)"), **dict.fromkeys(weights, "[0, inf)")
        )


class FGCrossNet(DeepSM):
    """A classifier that both media share, behind a first layer of each.

        stage I:   L = CE_image + CE_text + .001 L_centre
        stage II:  L = CE_image + CE_text + .001 L_centre + .1 L_quadruplet

    of the logits z of images and texts, with the cross-entropies as in `deep_sm`, L_centre the mean
    of ||z - c||^2 with c the centre of the point's class, and `losses/quadruplet.py`, both on the
    images and texts of the batch together. The score is the cosine of the posteriors. Of several
    classes a point's centre is their mean, the posteriors are sigmoids, and points are of different
    classes if they share none. Images and texts need not be paired; rows without a label are left
    out. In the centre loss Wen et al. (ECCV 2016) take half of the sum; the released code its mean.

    The released code has one ResNet-50 for all media, and batches of four items a medium. Its texts
    are 448 characters of an alphabet of 70, which convolutions turn into a picture of 448 x 448. On
    features media can share no first layer: each has one, and they share the trunk behind it. With
    `end_to_end` this is above the encoders of the data, which are then trained too: of texts a
    TextCNN on words or, with `text_tokens` characters, on the first 448 characters. Its alphabet is
    that of the training texts, without punctuation. It is a tower of its own: through a ResNet-50
    that both share, a text would cost as much as a picture of 448 x 448, and no other image encoder
    could be taken. So the trunk that both share begins above the encoders, as on features.

    That code puts one hinge on the sum of both comparisons (`as_released`); ours are the two of the
    quadruplet loss that the abstract's ranking constraint goes back to. Its loaders go through the
    media unshuffled, so that few of its batches hold a quadruplet; ours are shuffled. Its centres
    learn by the gradient of the centre loss without the weight, and so do ours: it is the term
    `centres`, which moves nothing else. Its learning rate halves every three epochs; here
    validation chooses the epoch of either stage.

    A step of B images and texts costs O(B P + quadruplets B^2) time, and memory is O(P +
    quadruplets B^2), for networks of P weights.

    Args:
        inputs: Widths of the features, or the networks that make them, and the number of classes.
        config: Hyper-parameters.
    """

    def __init__(self, inputs: MethodInputs, config: FGCrossNetConfig):
        self.config, self.networks = config, {}
        trunk = feature_network(
            config.first_units,
            (*config.hidden_units, inputs.classes),
            output_activation="linear",
            name="trunk",
        )
        for kind, rows, scaled in scaled_inputs(inputs, config):
            first = feature_network(scaled.shape[-1], (config.first_units,), name=f"{kind}_network")
            self._add(kind, rows, trunk(first(scaled)))
        shares = keras.Input([inputs.classes], name="shares")
        centres = keras.layers.Dense(
            inputs.classes,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=1.0),
            dtype=keras.config.floatx(),
            name="centres",
        )
        self.networks["centres"] = keras.Model(shares, centres(shares))

    def stages(self) -> list[Stage]:
        """Stage I, classes and centres; stage II, quadruplets beside them."""
        everything = self.trainable_variables()
        momentum = partial(keras.optimizers.SGD, momentum=0.9)
        one = CROSS_ENTROPIES | {"centre": self.config.centre_weight, "centres": 1.0}
        two = one | {"quadruplet": self.config.quadruplet_weight}
        first = Update("centre", self.centre_terms, one, everything, momentum)
        second = Update("quadruplet", self.loss_terms, two, everything, momentum)
        epochs = self.config.centre_epochs
        return [Stage("centre", [first], epochs), Stage("quadruplet", [second])]

    def centre_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The cross-entropies and the centre loss of this replica's rows."""
        return self._centre_terms(batch, self._logits(batch))

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The same, and the quadruplet loss of the global batch."""
        config, logits = self.config, self._logits(batch)
        points, labels = (
            tf.concat([replicas.gather(each) for each in both], axis=0)
            for both in (logits, [rows["labels"] for rows in sides(batch)])
        )
        margins = config.margin, config.second_margin
        of_four = quadruplet(points, labels, config.quadruplets, margins, config.as_released)
        return self._centre_terms(batch, logits) | {"quadruplet": of_four}

    def _centre_terms(self, batch: Batch, logits: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        points = tf.concat(logits, axis=0)
        labels = tf.concat([rows["labels"] for rows in sides(batch)], axis=0)
        centres = self.networks["centres"](labels / tf.reduce_sum(labels, axis=1, keepdims=True))
        return self._cross_entropies(batch, logits) | {
            "centre": squared_distance(points, tf.stop_gradient(centres)),
            "centres": squared_distance(tf.stop_gradient(points), centres),
        }


SPEC = MethodSpec(
    name="fgcrossnet",
    title="FGCrossNet: classes, centres and quadruplets",
    source="He et al., ACM MM 2019; released code PKU-ICST-MIPL/FGCrossNet_ACMMM2019",
    setting="supervised",
    config=FGCrossNetConfig,
    learner=FGCrossNet,
    inputs=inputs_of,
    seen=with_few_labels,
    needs_pairs=False,
    needs_labels=True,
    presets={
        "": {
            "method": {"image_scaling": "unit", "text_scaling": "unit"},
            "training": {"epochs": 50, "batch_size": 100, "learning_rate": 0.01},
        }
    },
    preset_sources={"": "epochs: the released code; the others: ours, on features"},
    search_space={
        "centre_weight": (1e-4, 1e-2),
        "quadruplet_weight": (1e-2, 1.0),
        "image_scaling": ("unit", "standard"),
        "text_scaling": ("unit", "standard"),
        "learning_rate": (1e-3, 1e-1),
    },
)
