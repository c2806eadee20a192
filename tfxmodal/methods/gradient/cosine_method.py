"""What methods share that train two encoders of features into a common space."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.quantisation import quantisation
from tfxmodal.methods.learner import Method
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.retrieval.hamming import HammingScorer

AT_ONCE = 32
"""Pictures, or maps of them, that are embedded in one go."""


class CosineMethod(Method):
    """Two encoders into a common space, in which the score is the cosine.

    Subclasses put `image_encoder` and `text_encoder` among their networks, from features to unit
    vectors. Batches are drawn from all pairs, as the stream `pairs`. One whose config is `Binary`
    passes its vectors through `coded`, and adds the terms of `quantised`.
    """

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

        adapt(self.networks["image_encoder"], train.images)
        adapt(self.networks["text_encoder"], train.texts)

    def streams(self, train: Pairs, seed: int) -> dict[str, np.ndarray]:
        """All pairs."""
        return {"pairs": np.arange(len(train))}

    def scorer(self) -> CosineScorer:
        """Cosine in the common space."""
        kind = HammingScorer if "image_bits" in self.networks else CosineScorer
        return scorer_of(self.networks["image_encoder"], self.networks["text_encoder"], kind)

    def embed(self, rows: dict[str, tf.Tensor], what: str = "encoder") -> tuple:
        """The outputs `[n, dim]` of `image_WHAT` and `text_WHAT` for a batch, in training."""
        return (
            self.networks[f"image_{what}"](rows["images"], training=True),
            self.networks[f"text_{what}"](rows["texts"], training=True),
        )


def scorer_of(
    image_model: keras.Model, text_model: keras.Model, kind: type[CosineScorer] = CosineScorer
) -> CosineScorer:
    """The scorer of two models; pictures, and maps of them, are embedded a few at a time."""
    size = {"batch_size": AT_ONCE} if len(image_model.input_shape) > 2 else {}
    return kind(image_model, text_model, **size)
