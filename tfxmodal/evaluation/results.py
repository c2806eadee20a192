"""What a trained run shows: numbers of a split, curves, pictures of what was retrieved."""

import os
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.text.bag_of_words import EncodedTexts
from tfxmodal.evaluation import figures
from tfxmodal.evaluation.curves import SCOPES, precision_recall, precision_scope
from tfxmodal.evaluation.metrics import relevance
from tfxmodal.evaluation.protocol import DIRECTIONS, evaluate
from tfxmodal.retrieval.scorer import Scorer

CURVE_ROWS = 5000
"""Most pairs of which curves are drawn."""


@dataclass(frozen=True)
class SplitResults:
    """A split under a scorer.

    Attributes:
        scorer: The scorer.
        metrics: What `metrics.json` holds of it.
        images: Embeddings `[n, d]`.
        texts: Embeddings `[n, d]`.
    """

    scorer: Scorer
    metrics: dict
    images: np.ndarray
    texts: np.ndarray


def evaluate_split(scorer: Scorer, features: Pairs, source: Pairs, encoder) -> SplitResults:
    """All metrics of a split; each caption is ranked by itself where pairs have several."""
    images, texts = scorer.embed_images(features.images), scorer.embed_texts(features.texts)
    captions = owners = None
    if encoder and any(len(each) > 1 for each in source.texts):
        flat = [caption for each in source.texts for caption in each]
        captions = scorer.embed_texts(EncodedTexts(encoder, flat))
        owners = np.repeat(np.arange(len(source)), [len(each) for each in source.texts])
    metrics = evaluate(scorer, images, texts, features.labels, captions, owners)
    return SplitResults(scorer, metrics, images, texts)


def draw(results: dict[str, SplitResults], source: Pairs, class_names, seed: int = 0) -> dict:
    """Figures of a split as PNG files, by name.

    Args:
        results: By the method's name: curves are drawn of all, t-SNE and retrieved items of the
            first.
        source: The split as it came; what it lacks, labels or files and captions, is not drawn.
        class_names: Names of the classes.
        seed: Of what is drawn at random.
    """
    first = next(iter(results.values()))
    drawn = {}
    if source.labels is not None:
        # Galleries too small for the paper's scopes are seen in ten steps.
        scopes = SCOPES if len(source) >= 100 else np.arange(1, 11) * len(source) // 10
        of_scope = partial(precision_scope, scopes=np.maximum(scopes, 1))
        for name, curve, figure in (
            ("precision_recall", precision_recall, figures.precision_recall_figure),
            ("precision_scope", of_scope, figures.precision_scope_figure),
        ):
            drawn[name] = figure(_curves(curve, results, source.labels))
        drawn["tsne"] = figures.tsne_figure(
            first.images, first.texts, source.labels, class_names, seed=seed
        )
    # Photos may be gone: with cached features only the pictures need them.
    if source.has_image_files and source.has_captions and os.path.isfile(source.images[0]):
        drawn["retrieved"] = retrieved_figure(first, source, seed)
    return {name: figures.figure_png(figure) for name, figure in drawn.items()}


def _curves(curve, results: dict[str, SplitResults], labels: np.ndarray) -> figures.Curves:
    """A curve of each direction and method, on at most `CURVE_ROWS` pairs."""
    rows = slice(0, CURVE_ROWS)
    relevant = relevance(labels[rows], labels[rows])
    panels = {direction: {} for direction in DIRECTIONS}
    for name, result in results.items():
        scores = result.scorer.score(result.images[rows], result.texts[rows])
        for direction, matrix in zip(DIRECTIONS, (scores, scores.T), strict=True):
            panels[direction][name] = curve(matrix, relevant)  # labels relate both ways alike
    return panels


def retrieved_figure(
    results: SplitResults, source: Pairs, seed: int = 0, queries: int = 4, k: int = 5
):
    """Some queries of both kinds and the best items they find, right and wrong ones marked."""
    rows = np.random.default_rng(seed).permutation(len(source))[:queries]
    scorer, images, texts = results.scorer, results.images, results.texts
    found_texts, _ = scorer.top_k(images[rows], texts, k)
    found_images, _ = scorer.top_k_images(texts[rows], images, k)

    def right(query: int, found: np.ndarray) -> list[bool]:
        if source.labels is None:
            return list(found == query)
        return list(relevance(source.labels[query][None], source.labels[found])[0])

    def text(row: int) -> str:
        return source.texts[row][0]

    return figures.gallery_figure(
        [
            figures.Retrieved(source.images[q], [text(row) for row in found], right(q, found))
            for q, found in zip(rows, found_texts, strict=True)
        ],
        [
            figures.Retrieved(text(q), list(source.images[found]), right(q, found))
            for q, found in zip(rows, found_images, strict=True)
        ],
    )


def captions_or_ids(source: Pairs) -> list[str]:
    """A name of each pair for people: its first caption, or its id."""
    return [each[0] for each in source.texts] if source.has_captions else list(source.ids)


def print_table(metrics: dict[str, dict], title: str):
    """A table on the terminal: of each split (or method) both directions and their average."""
    table = Table("", "", *(heading for heading, _ in METRICS), title=title, title_justify="left")
    for name, of_split in metrics.items():
        for way in (*DIRECTIONS, "average"):
            cells = (_cell(read(of_split, way)) for _, read in METRICS)
            table.add_row(name, way.replace("_", " "), *cells, end_section=way == "average")
            name = ""
    Console().print(table)


METRICS = (
    ("mAP@all", lambda metrics, way: (metrics["map_all"] or {}).get(way)),
    ("mAP@50", lambda metrics, way: (metrics["map_50"] or {}).get(way)),
    ("R@1", lambda metrics, way: metrics["recall_at"][way]["1"]),
    ("R@5", lambda metrics, way: metrics["recall_at"][way]["5"]),
    ("R@10", lambda metrics, way: metrics["recall_at"][way]["10"]),
)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
