"""What papers report of Karpathy's test pairs of COCO beside R@K: COCO 1K, CxC and ECCV Caption.

COCO 1K is R@K in five folds of 1,000 images and their captions: a query searches its own fold
alone. Reported is the mean over the folds, far above the number of all 5,000 images.

COCO counts an image and the captions that were written for it as right, and all other pairs as
wrong. Many others fit as well. Two collections name them for Karpathy's 5,000 test images:

* CxC (Parekh et al., EACL 2021): people's ratings. Reported is R@K.
* ECCV Caption (Chun et al., ECCV 2022): five models' finds that people verified, for 1,261 images
  and 1,332 captions. Reported are mAP@R, R-Precision and R@1.

Both lists, and the order of the captions that makes the folds, come with the package
`eccv-caption` (MIT). The metrics are those of this library: `ranks` and `class_metrics`, with their
rules for ties (a wrong item of equal score counts as better) and for queries without a right item
(left out). Two captions of ECCV's lists are not among the 25,000 of the test split. As in the
package they count as right ones that are never found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation.class_metrics import class_metrics
from tfxmodal.evaluation.metrics import mean, ranks, recall_at
from tfxmodal.evaluation.per_query import DIRECTIONS, RECALL_AT, plain
from tfxmodal.evaluation.protocol import measure_blocks
from tfxmodal.retrieval.scorer import Scorer

PACKAGE = "eccv_caption"
FOLDS = 5
FILES = dict(zip(DIRECTIONS, ("image_to_caption", "caption_to_image"), strict=True))
Positives = Mapping[int, Sequence[int]]
"""Of a query's number those of the items that are right."""


@dataclass(frozen=True)
class Items:
    """Images or captions.

    Attributes:
        numbers: `[n]`, COCO's.
        embeddings: `[n, d]`.
        folds: `[n]`, the fold of COCO 1K that each is in.
    """

    numbers: np.ndarray
    embeddings: np.ndarray
    folds: np.ndarray

    def of_fold(self, fold: int) -> Items:
        """Those of one fold."""
        rows = np.flatnonzero(self.folds == fold)
        return Items(self.numbers[rows], self.embeddings[rows], self.folds[rows])


def coco_extensions(
    scorer: Scorer, source: Pairs, images: np.ndarray, captions: np.ndarray
) -> dict[str, dict]:
    """COCO 1K of a split, and what CxC and ECCV Caption say of it.

    Args:
        scorer: Scores embeddings.
        source: Pairs with `caption_ids`, whose ids end in COCO's image numbers.
        images: Embeddings `[n, d]` of the pairs' images.
        captions: Embeddings `[m, d]` of all captions by themselves, in the order of the pairs.

    Returns:
        `coco_1k` and `cxc` with `recall_at`, and `eccv` with `recall_at`, `map_r` and
        `r_precision`: for each of `DIRECTIONS` and their `average`. Empty where the split is not
        Karpathy's whole test split, or `eccv-caption` is not installed.
    """
    if source.caption_ids is None or source.queries is not None or not find_spec(PACKAGE):
        return {}
    rows = source.once(slice(None))
    numbers = np.array([int(name.split("#")[0].rsplit("_", 1)[-1]) for name in source.ids[rows]])
    caption_numbers = np.array([number for of_pair in source.caption_ids for number in of_pair])
    for asked, way in ((numbers, DIRECTIONS[0]), (caption_numbers, DIRECTIONS[1])):
        if set(asked.tolist()) != positives("original", way).keys():
            return {}
    fold_of, captions_of = folds(), positives("original", "image_to_text")
    of_images = np.array([fold_of[captions_of[number][0]] for number in numbers.tolist()])
    of_captions = np.array([fold_of[number] for number in caption_numbers.tolist()])
    items = (
        Items(numbers, images[rows], of_images),
        Items(caption_numbers, captions, of_captions),
    )
    found: dict[str, dict] = {name: {"recall_at": {}} for name in ("coco_1k", "cxc", "eccv")}
    found["eccv"] |= {"map_r": {}, "r_precision": {}}
    for way, (asking, searched) in zip(DIRECTIONS, (items, items[::-1]), strict=True):
        of_folds = [
            _measured(scorer, way, asking.of_fold(k), searched.of_fold(k), "original")["rank"]
            for k in range(FOLDS)
        ]
        # The folds are of one size: the mean of all queries is the mean of the folds.
        found["coco_1k"]["recall_at"][way] = recall_at(np.concatenate(of_folds), RECALL_AT)
        for name in ("cxc", "eccv"):
            of_list = found[name]
            values = _measured(scorer, way, asking, searched, name, "map_r" in of_list)
            of_list["recall_at"][way] = recall_at(values["rank"], RECALL_AT)
            for metric in of_list.keys() & values.keys():
                of_list[metric][way] = mean(values[metric])
    for of_list in found.values():
        for ways in of_list.values():
            ways["average"] = _average(*(ways[way] for way in DIRECTIONS))
    return plain(found)


@cache
def positives(name: str, way: str) -> Positives:
    """The right items of each query, from the package's files.

    Args:
        name: `original`, COCO's own, `cxc` or `eccv`.
        way: One of `DIRECTIONS`.
    """
    content = json.loads(_file(f"{name}_{FILES[way]}.json").read_text())
    return {int(query): right for query, right in content.items()}


@cache
def folds() -> Mapping[int, int]:
    """Of each caption's number the fold of COCO 1K that it is in, from 0."""
    order = np.load(_file("coco_test_ids.npy"))
    return {number: place * FOLDS // len(order) for place, number in enumerate(order.tolist())}


def _file(name: str) -> Path:
    """A file of the package, which is found, not imported.

    An import warns that a faster JSON parser is missing.
    """
    (folder,) = find_spec(PACKAGE).submodule_search_locations
    return Path(folder) / "data" / name


def _measured(
    scorer: Scorer, way: str, asking: Items, searched: Items, name: str, of_ranking: bool = False
) -> dict[str, np.ndarray]:
    """The rank, and with `of_ranking` the metrics of the ranking, of queries with right items.

    `name` is that of the list of right items, see `positives`.
    """
    right_of = positives(name, way)
    rows = np.flatnonzero(np.isin(asking.numbers, list(right_of)))
    right_items = [right_of[number] for number in asking.numbers[rows].tolist()]
    place = {number: column for column, number in enumerate(searched.numbers.tolist())}
    for number in {each for right in right_items for each in right} - place.keys():
        place[number] = len(place)
    absent = len(place) - len(searched.numbers)

    def measure(scores: np.ndarray, block: slice) -> dict[str, np.ndarray]:
        scores = np.pad(scores, ((0, 0), (0, absent)), constant_values=-np.inf)
        right = np.zeros(scores.shape, bool)
        for row, numbers in enumerate(right_items[block]):
            right[row, [place[number] for number in numbers]] = True
        found = {"rank": ranks(scores, right)}
        return found | class_metrics(scores, right) if of_ranking else found

    return measure_blocks(scorer, asking.embeddings[rows], searched.embeddings, way, [measure])


def _average(one, other):
    if isinstance(one, dict):
        return {k: _average(one[k], other[k]) for k in one}
    return (one + other) / 2
