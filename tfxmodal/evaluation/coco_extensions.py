"""COCO's test captions with the right pairs that COCO does not list: CxC and ECCV Caption.

COCO counts an image and the captions that were written for it as right, and all other pairs as
wrong. Many others fit as well. Two collections name them for Karpathy's 5,000 test images:

* CxC (Parekh et al., EACL 2021): people's ratings. Reported is R@K.
* ECCV Caption (Chun et al., ECCV 2022): five models' finds that people verified, for 1,261 images
  and 1,332 captions. Reported are mAP@R, R-Precision and R@1.

Both lists come with the package `eccv-caption` (MIT). The metrics are those of this library:
`ranks` and `class_metrics`, with their rules for ties (a wrong item of equal score counts as
better) and for queries without a right item (left out). Two captions of ECCV's lists are not among
the 25,000 of the test split. As in the package they count as right ones that are never found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
FILES = dict(zip(DIRECTIONS, ("image_to_caption", "caption_to_image"), strict=True))
Positives = Mapping[int, Sequence[int]]
"""Of a query's number those of the items that are right."""


def coco_extensions(
    scorer: Scorer, source: Pairs, images: np.ndarray, captions: np.ndarray
) -> dict[str, dict]:
    """What CxC and ECCV Caption say of a split.

    Args:
        scorer: Scores embeddings.
        source: Pairs with `caption_ids`, whose ids end in COCO's image numbers.
        images: Embeddings `[n, d]` of the pairs' images.
        captions: Embeddings `[m, d]` of all captions by themselves, in the order of the pairs.

    Returns:
        `cxc` with `recall_at`, and `eccv` with `recall_at`, `map_r` and `r_precision`: for each of
        `DIRECTIONS` and their `average`. Empty where the split is not Karpathy's whole test split,
        or `eccv-caption` is not installed.
    """
    if source.caption_ids is None or source.queries is not None or not find_spec(PACKAGE):
        return {}
    rows = source.once(slice(None))
    numbers = np.array([int(name.split("#")[0].rsplit("_", 1)[-1]) for name in source.ids[rows]])
    caption_numbers = np.array([number for of_pair in source.caption_ids for number in of_pair])
    for asked, way in ((numbers, DIRECTIONS[0]), (caption_numbers, DIRECTIONS[1])):
        if set(asked.tolist()) != positives("original", way).keys():
            return {}
    sides = {
        "image_to_text": (numbers, images[rows], caption_numbers, captions),
        "text_to_image": (caption_numbers, captions, numbers, images[rows]),
    }
    found: dict[str, dict] = {"cxc": {"recall_at": {}}}
    found["eccv"] = {name: {} for name in ("recall_at", "map_r", "r_precision")}
    for way, side in sides.items():
        for name, of_list in found.items():
            values = _measured(scorer, way, *side, positives(name, way), "map_r" in of_list)
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
    # Found, not imported: an import warns that a faster JSON parser is missing.
    (folder,) = find_spec(PACKAGE).submodule_search_locations
    content = json.loads((Path(folder) / "data" / f"{name}_{FILES[way]}.json").read_text())
    return {int(query): right for query, right in content.items()}


def _measured(
    scorer, way: str, queries, asking, gallery, searched, right_of: Positives, of_ranking: bool
) -> dict[str, np.ndarray]:
    """The rank, and with `of_ranking` the metrics of the ranking, of queries with right items."""
    place = {number: column for column, number in enumerate(gallery.tolist())}
    for number in {each for right in right_of.values() for each in right} - place.keys():
        place[number] = len(place)
    absent = len(place) - len(gallery)
    rows = np.flatnonzero(np.isin(queries, list(right_of)))

    def measure(scores: np.ndarray, block: slice) -> dict[str, np.ndarray]:
        scores = np.pad(scores, ((0, 0), (0, absent)), constant_values=-np.inf)
        right = np.zeros(scores.shape, bool)
        for row, query in enumerate(queries[rows[block]].tolist()):
            right[row, [place[number] for number in right_of[query]]] = True
        found = {"rank": ranks(scores, right)}
        return found | class_metrics(scores, right) if of_ranking else found

    return measure_blocks(scorer, asking[rows], searched, way, [measure])


def _average(one, other):
    if isinstance(one, dict):
        return {k: _average(one[k], other[k]) for k in one}
    return (one + other) / 2
