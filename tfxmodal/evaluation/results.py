"""What a trained run shows: numbers of a split, curves, pictures of what was retrieved."""

import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.evaluation import figures
from tfxmodal.evaluation.coco_extensions import coco_extensions
from tfxmodal.evaluation.curves import (
    SCOPES,
    mean_over_queries,
    precision_recall,
    precision_scope,
)
from tfxmodal.evaluation.fonts import lacking
from tfxmodal.evaluation.metrics import relevance
from tfxmodal.evaluation.per_query import PerQuery
from tfxmodal.evaluation.protocol import Side, embed_pairs, measure_blocks, measure_queries
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.retrieval.scorer import Scorer

CURVE_QUERIES = 5000
"""Most queries of which curves are drawn; they search the whole gallery."""


@dataclass(frozen=True)
class SplitResults:
    """A split under a scorer.

    Attributes:
        scorer: The scorer.
        source: The split as it came.
        queries: What was measured of each query.
        images: Embeddings `[n, d]`.
        texts: Embeddings `[n, d]`.
        captions: Each caption by itself; the pairs' texts where these have one each.
        extensions: See `coco_extensions`.
    """

    scorer: Scorer
    source: Pairs
    queries: PerQuery
    images: np.ndarray
    texts: np.ndarray
    captions: Side
    extensions: dict = field(default_factory=dict)

    @cached_property
    def metrics(self) -> dict:
        """What `metrics.json` holds of it."""
        return self.queries.summary() | self.extensions

    @cached_property
    def curves(self) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """`precision_recall` and `precision_scope`, of each direction x and y; none without labels.

        Where more than `CURVE_QUERIES` items ask, so many of them are drawn, the same for all
        scorers.
        """
        source = self.source
        if source.labels is None:
            return {}
        asking, searched = (np.arange(len(source))[side] for side in source.sides)
        of_ways = {
            "image_to_text": self._curves("image_to_text", source.once(asking), searched),
            "text_to_image": self._curves("text_to_image", asking, source.once(searched)),
        }
        return {
            name: {way: of_way[name] for way, of_way in of_ways.items()} for name in figures.CURVES
        }

    def _curves(self, direction: str, queries: np.ndarray, gallery: np.ndarray) -> dict:
        """The curves of one direction by name, of rows that ask and rows that are searched."""
        drawn = np.random.default_rng(0).permutation(len(queries))[:CURVE_QUERIES]
        queries, size, labels = queries[np.sort(drawn)], len(gallery), self.source.labels
        # Galleries too small for the paper's scopes are seen in ten steps.
        scopes = SCOPES if size >= 100 else np.maximum(np.arange(1, 11) * size // 10, 1)
        x: dict[str, np.ndarray] = {}

        def measure(scores: np.ndarray, rows: slice) -> dict[str, np.ndarray]:
            relevant, values = relevance(labels[queries[rows]], labels[gallery]), {}
            for name, curve in {
                "precision_recall": precision_recall(scores, relevant),
                "precision_scope": precision_scope(scores, relevant, scopes),
            }.items():
                x[name], values[name] = curve
            return values

        asking, searched = self.images, self.texts
        if direction == "text_to_image":
            asking, searched = searched, asking
        values = measure_blocks(
            self.scorer, asking[queries], searched[gallery], direction, [measure]
        )
        return {name: (x[name], mean_over_queries(values[name])) for name in x}


def evaluate_split(
    scorer: Scorer, features: Pairs, source: Pairs, single: Features | None = None
) -> SplitResults:
    """All metrics of a split.

    Args:
        scorer: The trained model's.
        features: The split as features.
        source: The same pairs as they came.
        single: Features of each caption by itself, which are then ranked in place of the pairs'
            texts; see `Prepared.single_captions`.
    """
    images, texts = embed_pairs(scorer, features)
    captions = None
    if single is not None:
        owners = np.repeat(features.owners, [len(each) for each in source.texts])
        captions = Side(scorer.embed_texts(single), owners)
    queries = measure_queries(scorer, features.with_features(images, texts), captions)
    captions = captions or Side(texts, features.owners)
    extensions = coco_extensions(scorer, source, images, captions.embeddings)
    return SplitResults(scorer, source, queries, images, texts, captions, extensions)


def draw(
    results: dict[str, SplitResults],
    class_names,
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> dict:
    """Figures of a split as PNG files, by name.

    Args:
        results: By the method's name: curves are drawn of all, t-SNE and retrieved items of the
            first. What the split lacks, labels or files and captions, is not drawn.
        class_names: Names of the classes.
        seed: Of what is drawn at random.
        reporter: Is told of scripts that no installed font has.
    """
    first = next(iter(results.values()))
    source = first.source
    drawn: dict = {}
    if source.labels is not None:
        curves = {name: result.curves for name, result in results.items()}
        drawn = figures.curve_figures(curves)
        drawn["tsne"] = figures.tsne_figure(
            first.images, first.texts, source.labels, class_names, seed=seed
        )
    # Photos may be gone: with cached features only the pictures need them.
    if source.has_contents and os.path.isfile(source.images[0]):
        drawn["retrieved"] = retrieved_figure(first, seed)
    if missing := lacking(drawn.values()):
        reporter.say(missing)
    return {name: figures.figure_png(figure) for name, figure in drawn.items()}


def retrieved_figure(results: SplitResults, seed: int = 0, queries: int = 4, k: int = 5):
    """Some pairs' images and texts as queries, and the best items they find, right or wrong.

    As in the metrics, an image that rows repeat is taken once, and all its texts are right.
    """
    source = results.source
    asking, searched = source.sides
    rows = source.once(asking)
    rows = rows[np.random.default_rng(seed).permutation(len(rows))[:queries]]
    gallery_texts, gallery_images = np.arange(len(source))[searched], source.once(searched)
    scorer, images, texts = results.scorer, results.images, results.texts
    found_texts, _ = scorer.top_k(images[rows], texts[gallery_texts], k)
    found_images, _ = scorer.top_k_images(texts[rows], images[gallery_images], k)
    names, owners = captions_or_ids(source), source.owners

    def right(query: int, found: np.ndarray) -> list[bool]:
        if source.labels is None or not source.labels[query].any():
            return list(owners[found] == owners[query])
        return list(relevance(source.labels[query][None], source.labels[found])[0])

    return figures.gallery_figure(
        [
            figures.Retrieved(source.images[q], [names[row] for row in found], right(q, found))
            for q, found in zip(rows, gallery_texts[found_texts], strict=True)
        ],
        [
            figures.Retrieved(names[q], list(source.images[found]), right(q, found))
            for q, found in zip(rows, gallery_images[found_images], strict=True)
        ],
    )


def captions_or_ids(source: Pairs) -> list[str]:
    """A name of each pair for people: its first caption, or its id where it has none."""
    if not source.has_captions:
        return list(source.ids)
    return [each[0] if each else name for each, name in zip(source.texts, source.ids, strict=True)]
