"""MCSM: modality-specific similarity by recurrent attention (Peng et al., IEEE TIP 2018).

The paper (arXiv 1708.04776) could not be had beyond its abstract: this is our reading of it and of
notes on its released code (PKU-ICST-MIPL/MCSM_TIP2018).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import embed_pairs, evaluate, selection_score
from tfxmodal.inputs.spec import MODALITIES, MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.losses.ranking import ranking
from tfxmodal.losses.relational_similarity import similarity
from tfxmodal.methods.few_labels import check_classes, with_few_labels
from tfxmodal.methods.gradient.cosine_method import CosineMethod, scorer_of
from tfxmodal.methods.gradient.mcsm_config import MCSMConfig, decided, reads
from tfxmodal.methods.learner import Batch, rmsprop
from tfxmodal.methods.spec import MethodSpec
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.retrieval.row_normalised import RowNormalisedScorer
from tfxmodal.retrieval.scorer import Scorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tfxmodal.inputs.prepare import Prepared

SHARES = np.linspace(0, 1, 11)
"""Shares of the image space among which validation chooses."""


class MCSM(CosineMethod):
    """A space of the images and a space of the texts, whose cosines are added.

        image space:  u = attention over the locations,   u' = W t
        text space:   v = attention over the words,       v' = sigmoid(V x)
        score = w u . u' + (1 - w) v . v'

    of unit vectors: a recurrent attention (`heads/recurrent_attention.py`) reads the modality of
    the space step by step, and a linear map brings the other one to it, from the mean t of the
    word vectors, or the mean x of the locations (which of EfficientNet-Lite0 is the global
    feature). In each space a pair must score higher by a margin than its parts with items of other
    classes of the batch, both ways (`losses/ranking.py`). The spaces share the word vectors alone,
    which start as those of the text encoder (`word_vectors`) and are trained, too. Unknown words
    and padding are no steps.

    Each space's cosines are divided by their spread on the validation pairs, and validation chooses
    the shares of both before each validation: constants, so that a pair's score is the same in
    every gallery, and the product of unit vectors. The released code fuses by
    `a n(R_1) R_2 + (1 - a) n(R_2) R_1`, with n a query's scores brought to 0..1 in this gallery,
    and picks a on the test split. With a of 1/2 `other_scorers` gives this fusion, and the spaces
    alone, to be measured beside.

    What the released code does otherwise: one random negative a pair, here the mean over all in
    the batch, which is its expectation; in the text space a random image of the class in place of
    the pair's own; texts of 2,904 words behind three convolutions and poolings, here one
    convolution of three words, and a maximum over words where there are more than 49; the whole
    sequence 4,096 wide.

    MCSM-global: one feature vector of each modality is a sequence of one step, whose attention is
    1. What is left is a triplet model of two spaces, without what the method is about.

    A step of B pairs costs O(B L P) time for L steps (49 locations, up to 49 of a text) and
    networks of P weights; memory is O(P + B L embedding_dim). Maps that are too large for memory
    are read from disk (VGG-19's of MS-COCO's 82,081 training pictures: 4.1 GB there in float16, 8.2
    GB in memory in float32).

    Args:
        inputs: Maps and words with the network of the words, or widths of the features.
        config: Hyper-parameters, with `locations` decided.
    """

    labelled_only = True
    optimizer = staticmethod(rmsprop)  # Released code.

    def __init__(self, inputs: MethodInputs, config: MCSMConfig):
        from tfxmodal.heads.projector import L2Normalize
        from tfxmodal.heads.recurrent_attention import recurrent_attention
        from tfxmodal.heads.sequences import feature_sequence, word_sequence
        from tfxmodal.heads.weighted_spaces import WeightedSpaces

        self.config, dim, dropout = config, config.embedding_dim, config.dropout
        self._longest, full = inputs.text.shape[0], keras.config.floatx()
        image = feature_sequence(*inputs.features("image"), config.image_scaling)
        if inputs.text.kind == "words":
            text = word_sequence(inputs.networks["text"], self._longest, config.text_units)
        else:
            text = feature_sequence(*inputs.features("text"), config.text_scaling)
        spaces, self._attention = {}, {}  # Of each space an image and a text in it.
        if config.spaces != "text":
            attended, weights = recurrent_attention(image.steps, config.image_units, dim, dropout)
            spaces["image_space"] = attended, keras.layers.Dense(dim)(text.mean)
            self._attention["image"] = keras.Model(image.rows, weights)
        if config.spaces != "image":
            attended, weights = recurrent_attention(
                text.steps, config.text_units, dim, dropout, text.mask
            )
            brought = keras.layers.Dense(dim, activation="sigmoid")(image.mean)
            spaces["text_space"] = brought, attended
            self._attention["text"] = keras.Model(text.rows, weights)
        self.weights, self.networks = dict.fromkeys(spaces, 1.0), {}
        unit, self._fusion = L2Normalize(dtype=full), WeightedSpaces(dtype=full)
        for side, (kind, rows) in enumerate((("image", image.rows), ("text", text.rows))):
            units = keras.ops.stack([unit(pair[side]) for pair in spaces.values()], axis=1)
            self.networks[f"{kind}_spaces"] = keras.Model(rows, units)
            self.networks[f"{kind}_encoder"] = keras.Model(rows, self._fusion(units))

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Fits the scaling of the features, and keeps what chooses the weights of the spaces."""
        super().adapt(train, validation, select_by, progress)
        self._validation, self._select_by = validation, select_by

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """The pairs with labels.

        Raises:
            InputError: If all have the same classes.
        """
        check_classes(train.labels)  # Few labels may leave fewer classes than there are.
        return super().streams(train, seed)

    def check_batch(self, rows: int):
        """Checks that a pair can meet another one.

        Raises:
            InputError: If batches are of one pair.
        """
        if rows < 2:
            raise InputError(
                f"`batch_size` must be at least 2, so that a pair meets others; received {rows}: "
                "raise it."
            )

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The ranking loss of each space, against the pairs of the global batch."""
        rows = batch["pairs"]
        same = similarity(rows["labels"], replicas.gather(rows["labels"])) > 0
        u, v = self.embed(rows, "spaces")
        terms = {}
        for space, name in enumerate(self.weights):
            pairs = PairBatch.gathered(u[:, space], v[:, space], replicas=replicas)
            terms[name] = ranking(pairs, same, self.config.margin, hardest=False)
        return terms

    def settle(self, train: Pairs):
        """Chooses on validation how much each space counts."""
        if len(self.weights) == 1:
            return
        scorer, pairs = self._equal, self._validation
        images, texts = embed_pairs(scorer, pairs)
        halves = (np.split(each, 2, axis=1) for each in (images, texts))
        spreads = [max(spread(u, v), 1e-6) for u, v in zip(*halves, strict=True)]
        scores = {}
        for share in SHARES:
            weights = share / spreads[0], (1 - share) / spreads[1]
            scale = np.repeat(np.float32(weights), self.config.embedding_dim)
            metrics = evaluate(scorer, pairs.with_features(images * scale, texts))
            # Of equal ones the most even one.
            scores[weights] = selection_score(metrics, self._select_by), -abs(share - 0.5)
        self._fusion.weigh(max(scores, key=scores.get))

    def other_scorers(self) -> dict[str, Scorer]:
        """Each space alone, and their fusion by row normalisation."""
        if len(self.weights) == 1:
            return {}
        image, text = (self.networks[f"{kind}_spaces"] for kind in MODALITIES)
        others = {
            name: scorer_of(
                keras.Model(image.input, image.output[:, space]),
                keras.Model(text.input, text.output[:, space]),
            )
            for space, name in enumerate(self.weights)
        }
        return others | {"row_normalised": self._unweighted(RowNormalisedScorer)}

    @cached_property
    def _equal(self) -> CosineScorer:
        """The sum of both spaces' cosines."""
        return self._unweighted(CosineScorer)

    def _unweighted(self, kind: type[CosineScorer]) -> CosineScorer:
        """A scorer of the unit vectors of both spaces side by side."""
        from tfxmodal.heads.weighted_spaces import side_by_side

        networks = (self.networks[f"{name}_spaces"] for name in MODALITIES)
        return scorer_of(*(keras.Model(n.input, side_by_side(n.output)) for n in networks), kind)

    def figures(self, data: Prepared) -> dict[str, Figure]:
        """The attention on a few test pairs, where their pictures are there."""
        from tfxmodal.evaluation.attention_figure import attended, attention_figure
        from tfxmodal.heads.sequences import words_a_step

        if self.config.locations != "map":
            return {}
        together, _ = words_a_step(self._longest)
        pairs = attended(data, self._attention, together)
        return {"attention": attention_figure(pairs)} if pairs else {}


def spread(u: np.ndarray, v: np.ndarray) -> float:
    """The standard deviation of the products of all rows of U with all rows of V.

    E[u . v] = E u . E v and E[(u . v)^2] = sum of U^T U * V^T V / (n m), so that no matrix
    `[n, m]` is needed.

    Args:
        u: `[n, dim]`.
        v: `[m, dim]`.
    """
    u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
    mean = u.mean(axis=0) @ v.mean(axis=0)
    squares = np.sum((u.T @ u) * (v.T @ v)) / (len(u) * len(v))
    return float(np.sqrt(max(squares - mean**2, 0.0)))


SPEC = MethodSpec(
    name="mcsm",
    title="Modality-specific similarity by recurrent attention",
    source="Peng et al., IEEE TIP 2018, arXiv 1708.04776; released code PKU-ICST-MIPL/MCSM_TIP2018",
    setting="supervised",
    config=MCSMConfig,
    learner=MCSM,
    inputs=reads,
    seen=with_few_labels,
    decide=decided,
    needs_labels=True,
    needs_classes=True,
    presets={
        "": {"training": {"batch_size": 40}},
        **dict.fromkeys(
            ("emoji_scenes", "pascal_sentences"),
            {
                "method": {"image_units": 128, "text_units": 128, "embedding_dim": 256},
                "training": {"learning_rate": 1e-3, "epochs": 30},
            },
        ),
    },
    preset_sources={
        "": "the released code",
        **dict.fromkeys(
            ("emoji_scenes", "pascal_sentences"),
            "ours, for small sets: an eighth of the time of the released code's sizes",
        ),
    },
    search_space={
        "margin": (0.1, 0.3, 0.5),
        "embedding_dim": (256, 1024),
        "image_scaling": ("none", "unit"),
        "learning_rate": (1e-4, 1e-3),
    },
)
