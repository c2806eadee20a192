"""What methods share that train two encoders of features into a common space."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.inputs.spec import MODALITIES
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.quantisation import quantisation
from tfxmodal.methods.few_labels import labelled_features, labelled_streams
from tfxmodal.methods.learner import Method
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.retrieval.hamming import HammingScorer

AT_ONCE = 32
"""Pictures, or maps of them, that are embedded in one go."""


class CosineMethod(Method):
    """Two encoders into a common space, in which the score is the cosine.

    Subclasses put `image_encoder` and `text_encoder` among their networks, from features to unit
    vectors. One whose config is `Binary` passes its vectors through `coded`, and adds the terms of
    `quantised`.

    Attributes:
        parts: Keras models by name, of layers that the encoders among `networks` have, too.
        labelled_only: Whether it learns from the rows alone that have a label.
    """

    parts: Mapping[str, keras.Model] = {}
    labelled_only = False

    def add_encoder(self, kind: str, features, common):
        """Adds the encoder of a modality.

        Args:
            kind: `image` or `text`.
            features: The Keras input.
            common: Its vectors in the common space, `[batch, dim]`.

        Returns:
            These at unit length, which the encoder gives.
        """
        from tfxmodal.heads.projector import L2Normalize

        unit = L2Normalize(dtype=keras.config.floatx())(common)
        self.networks[f"{kind}_encoder"] = keras.Model(features, unit)
        return unit

    def coded(self, kind: str, features, common):
        """Vectors of a modality as they are, or where the config asks for it as binary codes.

        Of codes, the network `KIND_bits` gives the numbers whose signs they are.

        Args:
            kind: `image` or `text`.
            features: The Keras input.
            common: Its vectors in the common space, `[batch, embedding_dim]`.

        Returns:
            `[batch, config.width]`; codes are unit vectors.
        """
        if not self.config.binary:
            return common
        from tfxmodal.heads.binary_codes import Sign
        from tfxmodal.heads.projector import L2Normalize

        full = keras.config.floatx()
        unit = L2Normalize(dtype=full)
        bits = self._bit_layer(unit(common))
        self.networks[f"{kind}_bits"] = keras.Model(features, bits)
        return unit(Sign(dtype=full)(bits))

    @cached_property
    def _bit_layer(self) -> keras.layers.Dense:
        from tfxmodal.heads.binary_codes import bit_layer

        return bit_layer(self.config.binary)

    def quantised(self, rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The loss term of binary codes for a batch; none of vectors of floats."""
        if not self.config.binary:
            return {}
        return {"quantisation": quantisation(*self.embed(rows, "bits"))}

    def adapt(self, train: Pairs, validation: Pairs, select_by: str = "auto", progress=None):
        """Fits what scaling of the features there is in the encoders."""
        from tfxmodal.heads.scaling import adapt

        images, texts = self.learned_features(train)
        adapt(self.networks["image_encoder"], images)
        adapt(self.networks["text_encoder"], texts)

    def learned_features(self, train: Pairs) -> tuple[Features, Features]:
        """The images and the texts that it learns from."""
        return labelled_features(train) if self.labelled_only else (train.images, train.texts)

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """All pairs or, where the method says so, `few_labels.labelled_streams`."""
        return labelled_streams(train) if self.labelled_only else {"pairs": np.arange(len(train))}

    def scorer(self) -> CosineScorer:
        """Cosine in the common space."""
        kind = HammingScorer if "image_bits" in self.networks else CosineScorer
        return scorer_of(self.networks["image_encoder"], self.networks["text_encoder"], kind)

    @cached_property
    def outputs(self) -> CosineScorer:
        """Gives the outputs of `image_network` and `text_network` in batches; it scores nothing."""
        return scorer_of(self.networks["image_network"], self.networks["text_network"])

    def embed(self, rows: dict[str, tf.Tensor], what: str = "encoder") -> tuple:
        """The outputs in training of the networks, or parts, `image_WHAT` and `text_WHAT`."""
        models = {**self.networks, **self.parts}
        return tuple(
            models[f"{kind}_{what}"](rows[f"{kind}s"], training=True) for kind in MODALITIES
        )


def scorer_of(
    image_model: keras.Model, text_model: keras.Model, kind: type[CosineScorer] = CosineScorer
) -> CosineScorer:
    """The scorer of two models; pictures, and maps of them, are embedded a few at a time."""
    size = {"batch_size": AT_ONCE} if len(image_model.input_shape) > 2 else {}
    return kind(image_model, text_model, **size)
