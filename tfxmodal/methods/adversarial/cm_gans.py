"""CM-GANs: Cross-modal Generative Adversarial Networks (Peng and Qi, ACM TOMM 2019).

The paper could not be had beyond its abstract: this is our reading of its released code
(PKU-ICST-MIPL/CM-GANS_TOMM2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tfxmodal.errors import check_ranges
from tfxmodal.heads.autoencoder import autoencoder
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.layers import batch_normalization, dense
from tfxmodal.inputs.spec import MODALITIES, MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.best_negatives import best_negatives
from tfxmodal.losses.discrimination import discrimination
from tfxmodal.losses.label_prediction import label_prediction
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.few_labels import FewLabels, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, Update, short_adam
from tfxmodal.methods.scaled_features import NONE_OR_STANDARD, ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec

LEAKY = "leaky_relu"
"""Of slope .2, as in the released code; it is Keras' own slope, too."""


@dataclass(frozen=True)
class CMGANsConfig(ScaledFeatures, FewLabels, Binary):
    """CM-GANs; the sources are the released code's numbers."""

    hidden_units: int = 1024
    """Units of each modality's own layer, and of its decoder's (released code: 1,024)."""

    embedding_dim: int = 1024
    """Dimensions of the common space, the output of the shared layer (released code: 1,024)."""

    critic_units: int = 512
    """Units of the hidden layer of the inter-modality discriminators (released code: 512)."""

    generator_steps: int = 5
    """Steps of the generators for one of the discriminators (released code: 5)."""

    as_released: bool = False
    """Show the inter-modality discriminators as wrong a vector with the features that it was made
    of, those of another pair, as the released code does. Such a vector fits its features, as those
    that the discriminators take for right do."""

    def __post_init__(self):
        super().__post_init__()
        check_bits(self)
        units = ("hidden_units", "embedding_dim", "critic_units", "generator_steps")
        check_ranges(self, **dict.fromkeys(units, "[1, inf)"))


class CMGANs(CosineMethod):
    """Two autoencoders with a shared layer, and two discriminators of each modality.

    Of the features x of an image and t of its text, the generators make vectors u and v in the
    common space, and from these reconstructions x' and t'. In each step, with BCE the cross-entropy
    of a discriminator's answer, the discriminators are trained, then the generators five times:

        A_x (intra) minimises  BCE(A_x(x), 1) + BCE(A_x(x'), 0)
        D_x (inter) minimises  BCE(D_x(u, x), 1) + 1/2 BCE(D_x(v, x), 0) + 1/2 BCE(D_x(u-, x), 0)
        G_x         minimises  BCE(D_t(u, t), 1) + BCE(A_x(x'), 1) - log p(y | u)

    and the same with the modalities exchanged. u- is the vector of another pair, which shares no
    class: of those in the batch, the next. p is a softmax; of several classes y is divided by their
    number. Pairs without a label are left out. Both rules for several classes are ours.

    The released code trains A_t, A_x, D_t and D_x, then G_x and G_t in turn. The discriminators
    share no variable, so that one update of their sum is the same; so is one of both generators,
    but for the shared layer, at which their gradients add up. A player that an update does not
    train is called so that its moving statistics stay.

    What is shared is the second linear layer of the encoders; each modality has its own batch
    normalisation behind it. In the released code the layer is almost surely not shared: both
    networks are flattened apart, which parts the weights. It takes (u-, x-) for the wrong pair
    (`as_released`), standardises the queries by the statistics of the test split, and halves the
    learning rate every 100 epochs of 2,000. Here the preset is the first 100 of them, and
    validation chooses the epoch.

    A step takes O(N P) time for N pairs and networks of P weights, times 1 + `generator_steps`,
    and O(P) memory.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    labelled_only = True

    def __init__(self, inputs: MethodInputs, config: CMGANsConfig):
        self.config, self.networks = config, {}
        full = keras.config.floatx()
        shared = dense(config.embedding_dim, full)
        for kind, features, scaled in scaled_inputs(inputs, config):
            width = scaled.shape[-1]
            first = feature_network(
                width, (config.hidden_units,), batch_norm=True, output_activation=LEAKY
            )
            code = batch_normalization(full)(shared(first(scaled)))
            code = self.coded(kind, features, keras.layers.Activation(LEAKY, dtype=full)(code))
            self.add_encoder(kind, features, code)
            self.networks[f"{kind}_generator"] = autoencoder(
                features, scaled, code, (config.hidden_units,), LEAKY
            )
            codes = keras.Input([config.width], name="codes")
            self.networks[f"{kind}_classifier"] = keras.Model(
                codes, dense(inputs.classes, full)(codes)
            )
            self.networks[f"{kind}_intra"] = feature_network(
                width, (1,), output_activation="linear"
            )
            seen = keras.Input([width], name="features")
            joint = keras.layers.Concatenate(dtype=full)([codes, seen])
            hidden = feature_network(
                joint.shape[-1], (config.critic_units,), batch_norm=True, output_activation=LEAKY
            )
            self.networks[f"{kind}_inter"] = keras.Model(
                [codes, seen], dense(1, full)(hidden(joint))
            )

    def updates(self) -> list[Update]:
        """The discriminators', then the generators', by Adam with a first moment of .5."""

        def update(name, losses, weights, networks, times=1):
            variables = self.trainable_variables(
                *(f"{k}_{n}" for k in MODALITIES for n in networks)
            )
            return Update(name, losses, weights, variables, short_adam, times)

        judged = dict.fromkeys(("intra", "inter"), 1.0)
        made = dict.fromkeys(("class", "intra_fooled", "inter_fooled"), 1.0)
        return [
            update("discriminators", self._discriminate, judged, ("intra", "inter")),
            update(
                "generators",
                self._generate,
                made | self.config.code_weights,
                ("generator", "classifier"),
                self.config.generator_steps,
            ),
        ]

    def _discriminate(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """How well the discriminators know real features, and right pairs."""
        rows, terms = batch["pairs"], {"intra": 0.0, "inter": 0.0}
        made = {
            kind: self._call(f"{kind}_generator", rows[f"{kind}s"], False) for kind in MODALITIES
        }
        made = tf.nest.map_structure(tf.stop_gradient, made)
        judged = partial(self._judged, trained=True)
        others, there = _next_others(rows["labels"], replicas)
        for kind, other in zip(MODALITIES, reversed(MODALITIES), strict=True):
            (u, x, decoded), (v, *_) = made[kind], made[other]
            wrong, beside = tf.gather(replicas.gather(u), others), x
            if self.config.as_released:
                beside = tf.gather(replicas.gather(x), others)
            intra, inter = f"{kind}_intra", f"{kind}_inter"
            terms["intra"] += judged(intra, x, True) + judged(intra, decoded, False)
            terms["inter"] += judged(inter, [u, x], True) + judged(inter, [v, x], False) / 2
            terms["inter"] += judged(inter, [wrong, beside], False, there) / 2
        return terms

    def _generate(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """How well the vectors are classified, and how well they and the reconstructions fool."""
        rows, terms = batch["pairs"], {"intra_fooled": 0.0, "inter_fooled": 0.0}
        made = {
            kind: self._call(f"{kind}_generator", rows[f"{kind}s"], True) for kind in MODALITIES
        }
        judged = partial(self._judged, trained=False)
        for kind, other in zip(MODALITIES, reversed(MODALITIES), strict=True):
            (u, _, decoded), (_, t, _) = made[kind], made[other]
            terms["intra_fooled"] += judged(f"{kind}_intra", decoded, True)
            terms["inter_fooled"] += judged(f"{other}_inter", [u, t], True)
        logits = (self.networks[f"{kind}_classifier"](made[kind][0]) for kind in MODALITIES)
        terms["class"] = label_prediction(*logits, rows["labels"])
        return terms | self.quantised(rows)

    def _judged(self, name: str, rows, real: bool, weights=None, *, trained: bool) -> tf.Tensor:
        return discrimination(self._call(name, rows, trained), real, weights)

    def _call(self, name: str, rows, trained: bool):
        """The output of a network in training; of one that is not trained nothing moves."""
        network = self.networks[name]
        if trained:
            return network(rows, training=True)
        weights = (network.trainable_variables, network.non_trainable_variables)
        outputs, _ = network.stateless_call(*weights, rows, training=True)
        return outputs


def _next_others(labels, replicas):
    """Of each pair the next one in the global batch that shares no class; see `best_negatives`."""
    all_labels = replicas.gather(labels)
    size = tf.shape(all_labels)[0]
    own = replicas.offset(labels) + tf.range(tf.shape(labels)[0])
    steps = (tf.range(size) - own[:, None]) % size
    return best_negatives(-tf.cast(steps, labels.dtype), labels, all_labels)


SPEC = MethodSpec(
    name="cm_gans",
    title="Cross-modal Generative Adversarial Networks",
    source="Peng and Qi, ACM TOMM 2019, by its released code PKU-ICST-MIPL/CM-GANS_TOMM2019",
    setting="supervised",
    config=CMGANsConfig,
    learner=CMGANs,
    seen=with_few_labels,
    needs_labels=True,
    presets={"": {"training": {"batch_size": 64, "epochs": 100, "learning_rate": 1e-3}}},
    preset_sources={"": "the released code, up to where it first halves the learning rate"},
    search_space={
        "generator_steps": (1, 2, 5),
        "learning_rate": (1e-4, 1e-3),
        **NONE_OR_STANDARD,
    },
)
