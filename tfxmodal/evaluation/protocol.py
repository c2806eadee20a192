"""The numbers that a run reports of one split, from a scorer and the split's embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.data.repeated import TakenFeatures
from tfxmodal.errors import InputError, choose
from tfxmodal.evaluation.class_metrics import class_metrics
from tfxmodal.evaluation.metrics import ranks, relevance, ties
from tfxmodal.evaluation.per_query import DIRECTIONS, HUB_DEPTH, PerQuery
from tfxmodal.retrieval.scorer import Scorer, best

SELECT_BY = ("auto", "map", "recall", "last")
SHOWN = {
    "mAP@all": lambda metrics, way: (metrics["map_all"] or {}).get(way),
    "mAP@50": lambda metrics, way: (metrics["map_50"] or {}).get(way),
    "R@1": lambda metrics, way: metrics["recall_at"][way]["1"],
    "R@5": lambda metrics, way: metrics["recall_at"][way]["5"],
    "R@10": lambda metrics, way: metrics["recall_at"][way]["10"],
}
"""What a table shows: by its heading the value in what `evaluate` returned, for a direction."""
MORE = {
    "mAP@R": lambda metrics, way: (metrics.get("map_r") or {}).get(way),
    "R-Precision": lambda metrics, way: (metrics.get("r_precision") or {}).get(way),
    "NDCG": lambda metrics, way: (metrics.get("ndcg") or {}).get(way),
    "median rank": lambda metrics, way: metrics["median_rank"][way],
    "hubness": lambda metrics, way: metrics.get("hubness", {}).get(way),
}
"""What a comparison of methods shows, too; runs of earlier versions have not all of it."""
OF_COCO = {
    "1K R@1": lambda metrics, way: _of(metrics, "coco_1k", "recall_at", way, "1"),
    "CxC R@1": lambda metrics, way: _of(metrics, "cxc", "recall_at", way, "1"),
    "ECCV R@1": lambda metrics, way: _of(metrics, "eccv", "recall_at", way, "1"),
    "ECCV mAP@R": lambda metrics, way: _of(metrics, "eccv", "map_r", way),
    "ECCV R-Precision": lambda metrics, way: _of(metrics, "eccv", "r_precision", way),
}
"""What both show of Karpathy's test pairs of COCO; see `coco_extensions`."""
BLOCK = 2**23  # scores held at a time, 32 MB

Measure = Callable[[np.ndarray, slice], dict[str, np.ndarray]]
"""From scores `[rows, gallery]` of some queries, and which they are, values of each by name."""


@dataclass(frozen=True)
class Side:
    """Embedded items of one modality, such as captions by themselves.

    Attributes:
        embeddings: `[m, d]`.
        pairs: `[m]` integers, the row of the pair that each belongs to.
    """

    embeddings: np.ndarray
    pairs: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Side":
        """The items at `rows`."""
        return Side(self.embeddings[rows], self.pairs[rows])


def _of(metrics: dict, *path: str) -> float | None:
    """A number in nested dicts, if it is there."""
    found: Any = metrics
    for name in path:
        found = found.get(name, {})
    return None if found == {} else found


def evaluate(scorer: Scorer, embedded: Pairs, captions: Side | None = None) -> dict:
    """Evaluates both directions of one split.

    Class-level metrics (`CLASS_METRICS`) rank the other modality of the split, n by n; items that
    share at least one class are relevant. Instance-level metrics (`recall_at`, `median_rank`) rank
    single captions, n by m: an image is found at the rank of the best of its captions, and each
    caption is a query with one right image.

    An image that rows repeat (`Pairs.image_ids`) is taken once by both: the texts of its rows are
    its captions.

    Where the split names its queries, these rank the other rows: image queries the texts of the
    database, text queries its images. No query has its own partner there, so that instance-level
    metrics are None, and captions by themselves are left out.

    Args:
        scorer: Scores embeddings; asked for blocks of queries.
        embedded: Pairs whose images and texts are embeddings `[n, d]`, the text of each pair as a
            whole. Without labels there are no class-level metrics.
        captions: Each caption by itself; by default the pairs' texts.

    Returns:
        What `metrics.json` holds of a split, floats and integers in nested dicts: `CLASS_METRICS`
        (None without labels) and `recall_at` (by `"1"`, `"5"`, `"10"`), fractions in 0..1 for each
        of `DIRECTIONS` and their `average`; for each direction `median_rank`, `hubness`, the
        instance-level numbers of `queries` and `gallery` items, `queries_with_ties`, whose best
        right item shares its score with a wrong one, which counts as better, and
        `queries_without_relevant`, which the means (of mAP with labels, else of the ranks) leave
        out. A mean over no query is None.

    Raises:
        InputError: If rows do not fit together or a score is NaN.
    """
    return measure_queries(scorer, embedded, captions).summary()


def measure_queries(scorer: Scorer, embedded: Pairs, captions: Side | None = None) -> PerQuery:
    """What `evaluate` summarises, of each query; see there."""
    owners = embedded.owners
    images = Side(cast(np.ndarray, embedded.images), owners)
    texts = Side(cast(np.ndarray, embedded.texts), owners)
    if captions is None or embedded.queries is not None:
        captions = texts
    _check(embedded, captions)

    passes: list[tuple[Side, list[Callable]]] = [(captions, [_instance_level])]
    if embedded.labels is not None:
        class_level = partial(_class_level, embedded.labels)
        if captions is texts:  # one pass scores each pair once
            passes = [(texts, [class_level, _instance_level])]
        else:
            passes.append((texts, [class_level]))
    asking, searched = embedded.sides
    asking_images, searched_images = (images.take(embedded.once(s)) for s in (asking, searched))
    values: dict[str, dict[str, np.ndarray]] = {direction: {} for direction in DIRECTIONS}
    for direction, found in values.items():
        for of_texts, levels in passes:
            if direction == "image_to_text":
                queries, gallery = asking_images, of_texts.take(searched)
            else:
                queries, gallery = of_texts.take(asking), searched_images
            measures = [level(queries.pairs, gallery.pairs) for level in levels]
            found |= measure_blocks(
                scorer, queries.embeddings, gallery.embeddings, direction, measures
            )
    gallery_sizes = [len(captions.pairs[searched]), len(searched_images.pairs)]
    return PerQuery(values, dict(zip(DIRECTIONS, gallery_sizes, strict=True)))


def evaluate_pairs(scorer: Scorer, pairs: Pairs) -> dict:
    """Evaluates pairs of features, the text of each as a whole; see `evaluate`."""
    return evaluate(scorer, pairs.with_features(*embed_pairs(scorer, pairs)))


def embed_pairs(scorer: Scorer, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of pairs of features; an image that rows repeat is embedded once.

    Returns:
        Those of the images `[n, d]`, the same in all rows of an image, and of the texts `[n, d]`.
    """
    if pairs.image_ids is None:
        images = scorer.embed_images(pairs.images)
    else:
        rows = pairs.once(slice(None))
        distinct = scorer.embed_images(TakenFeatures(pairs.images, rows))
        images = distinct[np.searchsorted(rows, pairs.owners)]
    return images, scorer.embed_texts(pairs.texts)


def between_trainings(by: str) -> str:
    """What chooses between trainings, or starts: `last` says of one training's epochs alone."""
    return "auto" if by == "last" else by


def selection_score(results: dict, by: str = "auto") -> float | None:
    """The number that selects an epoch or hyper-parameter, higher is better.

    With `auto`, an unsupervised method is selected by the labels of validation pairs, too, where
    there are any: so do the papers' protocols, and the labels of training pairs stay unused.
    `recall` and `last` need no labels at all.

    Args:
        results: What `evaluate` returned for the validation split.
        by: `map`, the average mAP@all of both directions; `recall`, the average of R@1, R@5 and
            R@10 over both directions (a sixth of the field's "rsum"); `auto`, the first where some
            query has a relevant item by labels, else the second; `last`, nothing: the last epoch is
            taken.

    Returns:
        The number; None for `last`.

    Raises:
        InputError: If labels make nothing relevant for `map`, or no query has a relevant item.
    """
    choose("select_by", by, SELECT_BY)
    if by == "last":
        return None
    by_labels = (results["map_all"] or {}).get("average")  # None, too, where no row has a label.
    if by == "map" and by_labels is None:
        raise _nothing_for_map()
    if by != "recall" and by_labels is not None:
        return by_labels
    numbers = list(results["recall_at"]["average"].values())
    if None in numbers:
        raise InputError(
            "No query of the validation split has a relevant item, so nothing can select: check "
            "the split's labels and queries, or use `select_by` last."
        )
    return float(np.mean(numbers))


def check_selection(validation: Pairs, by: str):
    """Checks, before any work, that labels of the validation pairs can select by `map`.

    Raises:
        InputError: If they make no item relevant to a query.
    """
    if by != "map":
        return
    asking, searched = validation.sides
    labels = validation.labels
    if labels is None or not (labels[asking].any(axis=0) & labels[searched].any(axis=0)).any():
        raise _nothing_for_map()


def _nothing_for_map() -> InputError:
    return InputError(
        "`select_by` map needs labels of the validation split that make an item relevant to a "
        "query, and there are none: use recall, or last."
    )


def _class_level(labels: np.ndarray, queries: np.ndarray, gallery: np.ndarray) -> Measure:
    """Measures of classes, for the pairs that queries and gallery belong to."""

    def measure(scores: np.ndarray, rows: slice) -> dict[str, np.ndarray]:
        found = class_metrics(scores, relevance(labels[queries[rows]], labels[gallery]))
        return found | {"map_pair": queries[rows]}

    return measure


def _instance_level(queries: np.ndarray, gallery: np.ndarray) -> Measure:
    """Measures of own partners, for the pairs that queries and gallery belong to."""

    def measure(scores: np.ndarray, rows: slice) -> dict[str, np.ndarray]:
        right = np.equal.outer(queries[rows], gallery)
        found, _ = best(scores, HUB_DEPTH)
        return {
            "rank": ranks(scores, right),
            "ties": ties(scores, right),
            "found": found,
            "rank_pair": queries[rows],
        }

    return measure


def measure_blocks(scorer, queries, gallery, direction: str, measures: list[Measure]) -> dict:
    """The measures of all queries, from blocks of scores that are dropped after use."""
    ranking = scorer.text_scores if direction == "image_to_text" else scorer.image_scores
    step = max(1, BLOCK // len(gallery))
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        scores = ranking(queries[rows], gallery)
        for measure in measures:
            for name, values in measure(scores, rows).items():
                parts.setdefault(name, []).append(values)
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def _check(embedded: Pairs, captions: Side) -> None:
    n, queries = len(embedded), embedded.queries
    if n == 0 or not embedded.paired:
        raise InputError(
            f"A split is evaluated by pairs; received {n} images that are "
            f"{'paired' if embedded.paired else 'not paired with texts'}: give pairs."
        )
    if queries is not None and len(np.unique(queries)) < 2:
        raise InputError(
            "`queries` must mark pairs that ask and leave others that are searched; received "
            f"{np.count_nonzero(queries)} queries among {n} pairs."
        )
    owners = captions.pairs
    fits = owners.shape == (len(captions.embeddings),) and np.issubdtype(owners.dtype, np.integer)
    if not fits or not owners.size or not (0 <= owners.min() and owners.max() < n):
        raise InputError(
            f"`captions` must name the pair of each, an integer of 0 to {n - 1}; received "
            f"{owners.dtype} of shape {owners.shape} for {len(captions.embeddings)} captions: give "
            "one row number a caption."
        )
