"""What a loss over pairs sees on one replica of several."""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.lazy import tf


@dataclass(frozen=True)
class PairBatch:
    """This replica's pairs as anchors, and the pairs of the global batch that they are set against.

    Attributes:
        image_anchors: Images of this replica's pairs, `[n, dim]`.
        text_anchors: Their texts, `[n, dim]`.
        images: Images of the global batch, `[N, dim]`.
        texts: Texts of the global batch, `[N, dim]`.
        offset: The global index of the first anchor.
        anchor_labels: Labels of this replica's pairs, multi-hot `[n, classes]`, or None.
        labels: Labels of the global batch, `[N, classes]`, or None.
    """

    image_anchors: tf.Tensor
    text_anchors: tf.Tensor
    images: tf.Tensor
    texts: tf.Tensor
    offset: int | tf.Tensor = 0
    anchor_labels: tf.Tensor | None = None
    labels: tf.Tensor | None = None

    @classmethod
    def gathered(cls, images, texts, labels=None, replicas=None) -> PairBatch:
        """The batch of a replica's own pairs, with the other replicas' gathered to them.

        Args:
            images: `[n, dim]`.
            texts: `[n, dim]`.
            labels: `[n, classes]`, or None.
            replicas: Gives `gather(rows)` and `offset(rows)`; None where the pairs are the whole
                batch.
        """
        if replicas is None:
            return cls(images, texts, images, texts, 0, labels, labels)
        return cls(
            images,
            texts,
            replicas.gather(images),
            replicas.gather(texts),
            replicas.offset(images),
            labels,
            None if labels is None else replicas.gather(labels),
        )
