"""The numbers that a run reports of one split, from a scorer and the split's embeddings."""

from collections.abc import Callable, Iterable

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.metrics import (
    average_precision,
    mean,
    median_rank,
    ranks,
    recall_at,
    relevance,
)
from tfxmodal.retrieval.scorer import Scorer

DIRECTIONS = ("image_to_text", "text_to_image")
BLOCK = 2**23  # scores held at a time, 32 MB

Measure = Callable[[np.ndarray, slice], np.ndarray]
"""From the scores `[rows, gallery]` of some queries, and which they are, a value for each."""


def evaluate(
    scorer: Scorer,
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    labels: np.ndarray | None = None,
    caption_embeddings: np.ndarray | None = None,
    caption_image: np.ndarray | None = None,
) -> dict:
    """Evaluates both directions of one split.

    Class-level metrics (`map_all`, `map_50`) rank the other modality of the split, n by n; items
    that share at least one class are relevant. Instance-level metrics (`recall_at`,
    `median_rank`) rank single captions, n by m: an image is found at the rank of the best of its
    captions, and each caption is a query with one right image.

    Args:
        scorer: Scores embeddings; asked for blocks of queries.
        image_embeddings: `[n, d]`.
        text_embeddings: `[n, d]`, the whole text of each pair.
        labels: Multi-hot `[n, classes]`, or None: no class-level metrics.
        caption_embeddings: `[m, d]`, each caption by itself; by default the pairs' texts.
        caption_image: `[m]` integers, the row of each caption's image; needed with captions.

    Returns:
        What `metrics.json` holds of a split, floats and integers in nested dicts: `map_all` and
        `map_50` (None without labels) and `recall_at` (by `"1"`, `"5"`, `"10"`), fractions in 0..1
        for each of `DIRECTIONS` and their `average`; for each direction `median_rank`, the
        instance-level numbers of `queries` and `gallery` items, and `queries_without_relevant`,
        which the means (of mAP with labels, else of the ranks) leave out. A mean over no query is
        None.

    Raises:
        InputError: If rows do not fit together or a score is NaN.
    """
    n = len(image_embeddings)
    pair_rows = np.arange(n)
    if caption_embeddings is None:
        captions, owners = text_embeddings, pair_rows
    else:
        captions, owners = caption_embeddings, np.asarray(caption_image)
    _check_rows(n, text_embeddings, labels, captions, owners)

    def precisions(k) -> Measure:
        return lambda scores, rows: average_precision(scores, relevance(labels[rows], labels), k)

    def instance_ranks(queries, gallery) -> Measure:
        return lambda scores, rows: ranks(scores, np.equal.outer(queries[rows], gallery))

    class_level = {"map_all": precisions(None), "map_50": precisions(50)}
    if labels is None:
        class_level = {}
    instance_level = {
        "image_to_text": {"rank": instance_ranks(pair_rows, owners)},
        "text_to_image": {"rank": instance_ranks(owners, pair_rows)},
    }
    values = {}
    for direction in DIRECTIONS:
        passes = [(text_embeddings, class_level), (captions, instance_level[direction])]
        if captions is text_embeddings:  # one pass scores each pair once
            passes = [(captions, class_level | instance_level[direction])]
        values[direction] = {}
        for texts, measures in passes:
            values[direction] |= _measure(scorer, image_embeddings, texts, direction, measures)
    return _plain(_summary(values, bool(class_level)))


def evaluate_pairs(scorer: Scorer, pairs: Pairs) -> dict:
    """Evaluates pairs of features, the text of each as a whole; see `evaluate`."""
    images, texts = scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts)
    return evaluate(scorer, images, texts, pairs.labels)


def selection_score(results: dict, by: str = "auto") -> float:
    """The number that selects an epoch or hyper-parameter, higher is better.

    The average mAP@all of both directions where there are labels, else the average of R@1, R@5
    and R@10 over both directions (a sixth of the field's "rsum").

    Args:
        results: What `evaluate` returned for the validation split.

    Raises:
        InputError: If there are labels, but no query has a relevant item.
    """
    if results["map_all"] is not None:
        if results["map_all"]["average"] is None:
            raise InputError(
                "No query of the validation split has a relevant item, so nothing can select; "
                "received labels that no pair holds: check the split's labels."
            )
        return results["map_all"]["average"]
    return float(np.mean(list(results["recall_at"]["average"].values())))


def best_on_validation(candidates: Iterable[Scorer], validation: Pairs) -> Scorer:
    """The scorer that validation prefers, the first of equals; see `selection_score`."""
    return max(candidates, key=lambda scorer: selection_score(evaluate_pairs(scorer, validation)))


def _measure(scorer, images, texts, direction: str, measures: dict[str, Measure]) -> dict:
    """Each measure of all queries, from blocks of scores that are dropped after use."""
    queries, gallery = (images, texts) if direction == "image_to_text" else (texts, images)
    step = max(1, BLOCK // len(gallery))
    parts = {name: [] for name in measures}
    for start in range(0, len(queries) if measures else 0, step):
        rows = slice(start, start + step)
        if direction == "image_to_text":
            scores = scorer.score(images[rows], texts)
        else:
            scores = scorer.score(images, texts[rows]).T
        for name, measure in measures.items():
            parts[name].append(measure(scores, rows))
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def _summary(values: dict[str, dict[str, np.ndarray]], labelled: bool) -> dict:
    def of_each(function, name: str) -> dict:
        return {direction: function(values[direction][name]) for direction in DIRECTIONS}

    def with_average(numbers: dict) -> dict:
        return numbers | {"average": sum(numbers.values()) / len(numbers)}

    recalls = of_each(recall_at, "rank")
    averages = {k: np.mean([recalls[d][k] for d in DIRECTIONS]) for k in recalls[DIRECTIONS[0]]}
    queries = of_each(len, "rank")
    return {
        "map_all": with_average(of_each(mean, "map_all")) if labelled else None,
        "map_50": with_average(of_each(mean, "map_50")) if labelled else None,
        "recall_at": recalls | {"average": averages},
        "median_rank": of_each(median_rank, "rank"),
        "queries": queries,
        "gallery": dict(zip(DIRECTIONS, reversed(queries.values()), strict=True)),
        "queries_without_relevant": of_each(
            lambda of_queries: np.count_nonzero(np.isnan(of_queries)),
            "map_all" if labelled else "rank",
        ),
    }


def _plain(tree):
    """Keys to strings, numbers to Python's, NaN to None: what JSON can hold."""
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if tree is None or np.isnan(tree):
        return None
    return int(tree) if isinstance(tree, (int, np.integer)) else float(tree)


def _check_rows(n: int, texts, labels, captions, owners) -> None:
    if n == 0 or len(texts) != n or (labels is not None and len(labels) != n):
        received = {"images": n, "texts": len(texts)}
        if labels is not None:
            received["labels"] = len(labels)
        raise InputError(
            f"A split needs pairs, aligned row by row; received rows {received}: align them."
        )
    fits = owners.shape == (len(captions),) and np.issubdtype(owners.dtype, np.integer)
    if not fits or (len(owners) and not (0 <= owners.min() and owners.max() < n)):
        raise InputError(
            "`caption_image` must hold the image row of each caption, an integer of 0 to "
            f"{n - 1}; received {owners.dtype} of shape {owners.shape} for {len(captions)} "
            "captions: give one row number a caption."
        )
