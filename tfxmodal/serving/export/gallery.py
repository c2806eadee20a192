"""Galleries inside a served model: one request then answers the whole question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfxmodal.inputs.config import DataConfig
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.lazy import keras, tf
from tfxmodal.search.galleries import embed, items_of, tell_duplicates
from tfxmodal.search.stores.checks import check_ids
from tfxmodal.training.trained_run import TrainedRun

BLOCK = 2**16
"""Items scored at a time, which bounds what a relation network holds of them."""


class Gallery(keras.layers.Layer):
    """What a search needs of a gallery's items: variables, since graphs end at 2 GB.

    Args:
        ids: `[n]` strings, unique.
        embeddings: `[n, d]` float32, which are kept here but not exported.
        rows: What of them is searched, `[n, e]`: see `EncoderScorer.graph_images`. It is float32,
            or of binary codes their bytes.
    """

    def __init__(self, ids: list[str], embeddings: np.ndarray, rows: np.ndarray):
        super().__init__()
        self.size, self.embeddings = len(ids), embeddings
        # In blocks, the last filled up with zeros.
        blocks = -(-len(ids) // BLOCK)
        block = -(-len(ids) // blocks)
        if blocks > 1:
            rows = np.pad(rows, [[0, blocks * block - len(ids)], [0, 0]])
        rows = rows.reshape([blocks, block, -1])
        self.rows = tf.Variable(rows, trainable=False, name="rows")
        self.ids = tf.Variable([name.encode() for name in ids], trainable=False, name="ids")
        self.built = True

    def search(self, score: Callable[[tf.Tensor], tf.Tensor], k: int) -> dict[str, tf.Tensor]:
        """The best items of each query: `ids` and `scores`, `[batch, k]` each, best first.

        Args:
            score: From rows `[m, e]` to the queries' scores with them, `[batch, m]`.
            k: How many, at most as many as there are; among ties, the first come first.
        """
        blocks, block, _ = self.rows.shape
        scores = tf.map_fn(
            lambda number: score(self.rows[number]),
            tf.range(blocks),
            fn_output_signature=tf.TensorSpec([None, block]),
            parallel_iterations=1,
        )
        scores = tf.transpose(scores, [1, 0, 2])
        scores = tf.reshape(scores, [-1, blocks * block])[:, : self.size]
        scores, rows = tf.math.top_k(scores, min(k, self.size))
        return {"ids": tf.gather(self.ids, rows), "scores": scores}


def load_galleries(
    sources: Sequence[str], run: TrainedRun, config: DataConfig, reporter: Reporter = SILENT
) -> tuple[dict[str, Gallery], dict[str, dict[str, str]]]:
    """The items that a user names, embedded.

    Args:
        sources: See `tfxmodal.search.galleries.items_of`.
        run: The trained run.
        config: How its data are loaded.
        reporter: Is told of the progress, of items that are left out, and of duplicates.

    Returns:
        Galleries of `images`, of `texts` or both; and, by kind and id, what to show of an item.

    Raises:
        InputError: If a source cannot be read, or an id is given twice or is no UTF-8.
    """
    scorer = run.scorer()
    searched = {"images": scorer.graph_images, "texts": scorer.graph_texts}
    galleries, shown = {}, {}
    sources = [items_of(source, run, config, reporter=reporter) for source in sources]
    for kind in searched:
        of_kind = [items[kind] for items in sources if kind in items]
        check_ids([name for items in of_kind for name in items.ids])
        tell_duplicates(of_kind, kind, config, reporter)
        parts = [embed(items, kind, run, scorer, reporter) for items in of_kind]
        ids = [name for part in parts for name in part.ids]
        if not ids:
            continue
        embeddings = np.concatenate([part.embeddings for part in parts])
        galleries[kind] = Gallery(ids, embeddings, np.asarray(searched[kind](embeddings)))
        texts = [text for part in parts for text in part.shown]
        shown[kind] = dict(zip(ids, texts, strict=True))
    return galleries, shown
