"""What methods share that train two encoders of features into a common space."""

from __future__ import annotations

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.lazy import keras, tf
from tfxmodal.methods.learner import Method
from tfxmodal.retrieval.cosine import CosineScorer

AT_ONCE = 32
"""Pictures, or maps of them, that are embedded in one go."""


class CosineMethod(Method):
    """Two encoders into a common space, in which the score is the cosine.

    Subclasses put `image_encoder` and `text_encoder` among their networks, from features to unit
    vectors. Batches are drawn from all pairs, as the stream `pairs`.
    """

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
        return scorer_of(self.networks["image_encoder"], self.networks["text_encoder"])

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
