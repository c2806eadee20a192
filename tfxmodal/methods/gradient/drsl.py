"""DRSL: Deep Relational Similarity Learning for Cross-Modal Retrieval (Wang et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.heads.in_parts import in_parts, treats_rows_alone
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.relational_similarity import (
    balanced_weights,
    relational_similarity,
    similarity,
)
from tfxmodal.methods.closed_form import semantic_matching
from tfxmodal.methods.few_labels import (
    FewLabels,
    labelled_features,
    labelled_streams,
    with_few_labels,
)
from tfxmodal.methods.gradient.cosine_method import AT_ONCE
from tfxmodal.methods.learner import Batch, Method, sides
from tfxmodal.methods.scaled_features import (
    NONE_OR_STANDARD,
    STANDARD,
    ScaledFeatures,
    scaled_inputs,
)
from tfxmodal.methods.spec import MethodSpec, inputs_of
from tfxmodal.retrieval.scorer import Scorer


@dataclass(frozen=True)
class DRSLConfig(ScaledFeatures, FewLabels):
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

    start: Literal["random", "semantic_matching", "zero_shot"] = "random"
    """What the scores begin as (paper: random). Ours: semantic_matching, the cosine of the class
    posteriors that its logistic regressions give, with the C that validation prefers; or zero_shot,
    the cosine of features of one space, such as SigLIP's. Each encoder's vector then ends in its
    posteriors, which are trained, or in its features. The relation network reads both, and its
    score is added to their cosine, at first as zero. So validation may keep the scores of the
    start, and the result is never below it there."""

    dropout: float = 0.0
    """Fraction dropped before each layer of the FNNs but the first (paper, released code: none)."""

    pair_weights: Literal["equal", "balanced"] = "equal"
    """Weights of the pairs in equation (10) (paper: equal). Balanced is ours: similar and
    dissimilar pairs count alike in all, however rare the similar ones are."""

    end_to_end: bool = False
    """Train the encoders too, from pixels and token ids, instead of on cached features;
    image_scaling and text_scaling are fitted before the training, to the features of 256 training
    rows, taken evenly."""

    images_at_once: int = 0
    """Images of a batch whose activations are in memory together, end to end; those of the others
    are computed again for the gradient, for 1.4 times the time. 0: all of the batch. Not for image
    networks with batch normalisation, whose statistics are the whole batch's."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(
            self,
            hidden_units="[1, inf)",
            feature_dim="[1, inf)",
            relation_layers="[1, inf)",
            relation_units="[1, inf)",
            images_at_once="[0, inf)",
            dropout="[0, 1)",
        )
        if self.end_to_end and self.start != "random":
            raise InputError(
                f"`start` {self.start} is fitted to features, and `end_to_end` trains what makes "
                "them: leave one of them out."
            )


class DRSL(Method):
    """Two encoders and a relation network that scores each image-text pair.

    Algorithm 1: of a batch of images and a batch of texts, all pairs are scored, equation (8), and
    the scores are fitted to the similarity of the labels, equations (9) and (10). Images and texts
    need not be paired, nor of one number: the batches of unpaired sets are drawn from each set by
    itself.

    Args:
        inputs: Widths of the features; or pixels and token ids, with the networks that make
            features of them and are trained too.
        config: Hyper-parameters.

    Raises:
        InputError: If the config does not go with the image network.
    """

    def __init__(self, inputs: MethodInputs, config: DRSLConfig):
        from tfxmodal.heads.relation_network import RelationNetwork
        from tfxmodal.heads.semantic_start import SemanticStart, ending_in

        self.config = config
        self.weights = {"relational_similarity": 1.0}
        self.networks = {}
        self.starts_trained = config.start != "random"
        self._starts = {}
        for kind, rows, scaled in scaled_inputs(inputs, config):
            network = feature_network(
                scaled.shape[-1],
                (*config.hidden_units, config.feature_dim),
                config.encoder_batch_norm,
                config.dropout,
                name=f"{kind}_fnn",
            )
            encoder = keras.Model(rows, network(scaled))
            if config.start == "semantic_matching":
                self._starts[kind] = SemanticStart(encoder.input, encoder.output, inputs.classes)
                encoder = self._starts[kind].network
            elif config.start == "zero_shot":
                encoder = ending_in(encoder.input, encoder.input, encoder.output)
            self.networks[f"{kind}_encoder"] = encoder
        if config.images_at_once and not treats_rows_alone(self.networks["image_encoder"]):
            raise InputError(
                "`images_at_once` goes with image networks without batch normalisation and "
                f"dropout, such as vgg19; received {config.images_at_once} with another: leave it "
                "out."
            )
        width = self.networks["image_encoder"].output_shape[-1]
        self.networks["relation"] = RelationNetwork(
            width,
            config.fusion,
            config.relation_layers,
            config.relation_units,
            config.relation_batch_norm,
            width - config.feature_dim,
        )

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Fits the scaling of the features, and posteriors where the scores begin as theirs."""
        from tfxmodal.heads.scaling import adapt

        images, texts = labelled_features(train)
        adapt(self.networks["image_encoder"], images)
        adapt(self.networks["text_encoder"], texts)
        if self._starts:
            config = semantic_matching.SPEC.config()
            matching = semantic_matching.fit(train, validation, config, select_by, 0, progress)
            for kind, start in self._starts.items():
                start.begin(matching.networks[f"{kind}_encoder"])

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """One stream of pairs; of unpaired sets one each of images and of texts; all with labels.

        Of a row without a label nobody knows what it is similar to, not even its own partner.
        """
        return labelled_streams(train)

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """Equation (10) on all pairs of this replica's images and the global batch's texts."""
        images, texts = sides(batch)
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
        return {"relational_similarity": relational_similarity(scores, target, weights)}

    def _image_embeddings(self, images: tf.Tensor) -> tf.Tensor:
        """z_i of a batch, in training."""
        encoder, size = self.networks["image_encoder"], self.config.images_at_once
        return in_parts(encoder, images, size) if size else encoder(images, training=True)

    def scorer(self) -> Scorer:
        """Relation scores of the networks as they are."""
        from tfxmodal.retrieval.relation import RelationScorer

        return RelationScorer(
            self.networks["image_encoder"],
            self.networks["text_encoder"],
            self.networks["relation"],
            **{"batch_size": AT_ONCE} if self.config.end_to_end else {},
        )


SPEC = MethodSpec(
    name="drsl",
    title="Deep Relational Similarity Learning",
    source="Wang et al., 2021, equations (2) to (10)",
    setting="supervised",
    for_auto=True,
    config=DRSLConfig,
    learner=DRSL,
    inputs=inputs_of,
    seen=with_few_labels,
    shared_space=lambda config: config.start == "zero_shot",
    needs_pairs=False,
    needs_labels=True,
    presets={
        "": {"training": {"epochs": 150, "batch_size": 200}},
        "emoji_scenes": {
            "method": {
                "encoder_batch_norm": True,
                **STANDARD,
            },
            "training": {"learning_rate": 3e-4, "batch_size": 100, "epochs": 180},
        },
        "pascal_sentences": {"method": {"hidden_units": ()}},
        "xmedianet": {"method": {"hidden_units": (1024, 1024), "encoder_batch_norm": True}},
    },
    preset_sources={
        "": "epochs: fig. 4, converged after 100 to 150; batch: the released code",
        "emoji_scenes": "measured by us for a small set of several classes a picture",
        **dict.fromkeys(("pascal_sentences", "xmedianet"), "sec. 3.4"),
    },
    recommended={
        form: {
            "method": {
                "start": start,
                "encoder_batch_norm": True,
                **STANDARD,
                "dropout": 0.5,
            },
            "training": {"batch_size": 100, "patience": 40},
        }
        for form, start in (
            ("from-semantic-matching", "semantic_matching"),  # First: the floor, in any time.
            ("normalised", "random"),
        )
    },
    search_space={
        "encoder_batch_norm": (False, True),
        "dropout": (0.0, 0.5),
        "learning_rate": (1e-4, 1e-3),
        **NONE_OR_STANDARD,
    },
    examples=(
        "--dataset wikipedia --data-dir WIKIPEDIA --fusion multiplication",
        "--dataset pascal_sentences --data-dir PASCAL --encoders towers/pascal",
    ),
)
