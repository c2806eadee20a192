"""What a trained run shows: numbers of a split, curves, pictures of what was retrieved."""

import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation import figures
from tfxmodal.evaluation.coco_extensions import coco_extensions
from tfxmodal.evaluation.curves import SCOPES, precision_recall, precision_scope
from tfxmodal.evaluation.fonts import lacking
from tfxmodal.evaluation.metrics import relevance
from tfxmodal.evaluation.per_query import DIRECTIONS, PerQuery
from tfxmodal.evaluation.protocol import Side, measure_queries
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.retrieval.scorer import Scorer

CURVE_ROWS = 5000
"""Most pairs of which curves are drawn."""


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

        They are of at most `CURVE_ROWS` queries and found items.
        """
        labels = self.source.labels
        if labels is None:
            return {}
        asking, searched = (np.arange(len(self.source))[side] for side in self.source.sides)
        # Galleries too small for the paper's scopes are seen in ten steps.
        size = len(searched)
        scopes = SCOPES if size >= 100 else np.maximum(np.arange(1, 11) * size // 10, 1)
        found: dict[str, dict] = {"precision_recall": {}, "precision_scope": {}}
        for direction, sides in zip(
            DIRECTIONS,
            ((self.source.once(asking), searched), (asking, self.source.once(searched))),
            strict=True,
        ):
            queries, gallery = (rows[:CURVE_ROWS] for rows in sides)
            relevant = relevance(labels[queries], labels[gallery])
            if direction == "image_to_text":
                scores = self.scorer.text_scores(self.images[queries], self.texts[gallery])
            else:
                scores = self.scorer.image_scores(self.texts[queries], self.images[gallery])
            found["precision_recall"][direction] = precision_recall(scores, relevant)
            found["precision_scope"][direction] = precision_scope(scores, relevant, scopes)
        return found


def evaluate_split(scorer: Scorer, features: Pairs, source: Pairs, encoder) -> SplitResults:
    """All metrics of a split; each caption is ranked by itself where pairs have not one each.

    Args:
        scorer: The trained model's.
        features: The split as features.
        source: The same pairs as they came.
        encoder: What made the text features of the captions, or None where they came ready.
    """
    from tfxmodal.encoders.text.bag_of_words import EncodedTexts  # Its package loads TensorFlow.

    images, texts = scorer.embed_images(features.images), scorer.embed_texts(features.texts)
    captions = None
    if encoder is not None and features.queries is None:
        counts = [len(each) for each in source.texts]
        if any(count != 1 for count in counts):
            flat = [caption for each in source.texts for caption in each]
            embeddings = scorer.embed_texts(EncodedTexts(encoder, flat))
            captions = Side(embeddings, np.repeat(features.owners, counts))
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
    if source.has_image_files and source.has_captions and os.path.isfile(source.images[0]):
        drawn["retrieved"] = retrieved_figure(first, seed)
    if missing := lacking(drawn.values()):
        reporter.say(missing)
    return {name: figures.figure_png(figure) for name, figure in drawn.items()}


def retrieved_figure(results: SplitResults, seed: int = 0, queries: int = 4, k: int = 5):
    """Some queries of both kinds and the best items they find, right and wrong ones marked."""
    source = results.source
    asking, searched = (np.arange(len(source))[side] for side in source.sides)
    rows = asking[np.random.default_rng(seed).permutation(len(asking))[:queries]]
    scorer, images, texts = results.scorer, results.images, results.texts
    found_texts, _ = scorer.top_k(images[rows], texts[searched], k)
    found_images, _ = scorer.top_k_images(texts[rows], images[searched], k)
    names = captions_or_ids(source)

    def right(query: int, found: np.ndarray) -> list[bool]:
        if source.labels is None or not source.labels[query].any():
            return list(found == query)
        return list(relevance(source.labels[query][None], source.labels[found])[0])

    return figures.gallery_figure(
        [
            figures.Retrieved(source.images[q], [names[row] for row in found], right(q, found))
            for q, found in zip(rows, searched[found_texts], strict=True)
        ],
        [
            figures.Retrieved(names[q], list(source.images[found]), right(q, found))
            for q, found in zip(rows, searched[found_images], strict=True)
        ],
    )


def captions_or_ids(source: Pairs) -> list[str]:
    """A name of each pair for people: its first caption, or its id where it has none."""
    if not source.has_captions:
        return list(source.ids)
    return [each[0] if each else name for each, name in zip(source.texts, source.ids, strict=True)]
