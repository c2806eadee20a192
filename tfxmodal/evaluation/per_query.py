"""What was measured of each query of a split, and the numbers of a run made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from tfxmodal.evaluation.class_metrics import CLASS_METRICS
from tfxmodal.evaluation.hubness import hubness
from tfxmodal.evaluation.metrics import mean, median_rank, recall_at

DIRECTIONS = ("image_to_text", "text_to_image")
RECALL_AT = (1, 5, 10)
HUB_DEPTH = 10
"""How many of the first items of each query count for hubness."""


@dataclass(frozen=True)
class PerQuery:
    """What was measured of each query.

    Attributes:
        values: For each of `DIRECTIONS`, by measure, a value for each query: `rank`, `ties` and
            `found`, the first `HUB_DEPTH` of its ranking, and with labels `CLASS_METRICS`.
            `rank_pair` and `map_pair` are the pair that the query belongs to: captions by
            themselves are queries of `rank`, and whole texts those of `map_all`.
        gallery: By direction the number of items that `rank` was measured among.
    """

    values: Mapping[str, Mapping[str, np.ndarray]]
    gallery: Mapping[str, int]

    @property
    def labelled(self) -> bool:
        """Whether classes tell of any query what is right; else own partners alone do."""
        precisions = (of_way.get("map_all", np.nan) for of_way in self.values.values())
        return any(np.isfinite(each).any() for each in precisions)

    def summary(self) -> dict:
        """What `metrics.json` holds; see `protocol.evaluate`."""
        of_classes = "map_all" in self.values[DIRECTIONS[0]]
        recalls = self._of_each(lambda ranks: recall_at(ranks, RECALL_AT), "rank")
        averages = {k: np.mean([recalls[d][k] for d in DIRECTIONS]) for k in RECALL_AT}
        numbers = {
            name: _with_average(self._of_each(mean, name)) if of_classes else None
            for name in CLASS_METRICS
        } | {
            "recall_at": recalls | {"average": averages},
            "median_rank": self._of_each(median_rank, "rank"),
            "hubness": {
                way: hubness(self.values[way]["found"], size) for way, size in self.gallery.items()
            },
            "queries": self._of_each(len, "rank"),
            "gallery": dict(self.gallery),
            "queries_with_ties": self._of_each(np.count_nonzero, "ties"),
            "queries_without_relevant": self._of_each(
                lambda of_queries: np.count_nonzero(np.isnan(of_queries)),
                "map_all" if of_classes else "rank",
            ),
        }
        return plain(numbers)

    def by_pair(self) -> np.ndarray:
        """What each pair adds to the two means by which methods are compared.

        They are mAP@all, or without labels the mean of R@1, R@5 and R@10. A pair's queries, its
        image and its texts, are not independent of each other: a test takes them together.

        Returns:
            `[2, pairs]` in the order of `DIRECTIONS`, of the pairs that have a query with a
            relevant item: others are no part of the means, and an interval draws none of them. The
            sum of a row is the mean over its queries. Where there is no such pair, one of zeros.
        """
        measure, owner = ("map_all", "map_pair") if self.labelled else ("rank", "rank_pair")
        ways = [
            (of_way[owner][known], of_way[measure][known])
            for of_way in self.values.values()
            for known in [~np.isnan(of_way[measure])]
        ]
        pairs = np.unique(np.concatenate([owners for owners, _ in ways]))
        if not len(pairs):
            return np.zeros([len(ways), 1])
        rows = []
        for owners, scores in ways:
            if not self.labelled:
                scores = np.mean([scores <= k for k in RECALL_AT], axis=0)
            weights = scores / max(1, len(scores))
            places = np.searchsorted(pairs, owners)
            rows.append(np.bincount(places, weights, minlength=len(pairs)))
        return np.array(rows)

    def save(self, file: BinaryIO):
        """Writes a `.npz` file: `values` by `DIRECTION/MEASURE`, and `gallery`."""
        arrays = {
            f"{way}/{name}": each
            for way, of_way in self.values.items()
            for name, each in of_way.items()
        }
        np.savez_compressed(file, gallery=[self.gallery[way] for way in DIRECTIONS], **arrays)

    @classmethod
    def open(cls, file) -> PerQuery:
        """From what `save` wrote."""
        values: dict[str, dict] = {way: {} for way in DIRECTIONS}
        with np.load(file) as arrays:
            for key in arrays.keys() - {"gallery"}:
                way, name = key.split("/")
                values[way][name] = arrays[key]
            gallery = dict(zip(DIRECTIONS, arrays["gallery"].tolist(), strict=True))
        return cls(values, gallery)

    def _of_each(self, function, measure: str) -> dict:
        return {way: function(self.values[way][measure]) for way in DIRECTIONS}


def _with_average(numbers: dict) -> dict:
    return numbers | {"average": sum(numbers.values()) / len(numbers)}


def plain(tree):
    """Keys to strings, numbers to Python's, NaN to None: what JSON can hold."""
    if isinstance(tree, dict):
        return {str(key): plain(value) for key, value in tree.items()}
    if tree is None or np.isnan(tree):
        return None
    return int(tree) if isinstance(tree, (int, np.integer)) else float(tree)
