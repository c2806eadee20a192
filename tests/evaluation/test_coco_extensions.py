"""COCO 1K, CxC and ECCV Caption against the package's own evaluator, on made-up embeddings."""

import json

import numpy as np
import pytest

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation import coco_extensions as extensions
from tfxmodal.evaluation.coco_extensions import coco_extensions, folds, positives
from tfxmodal.evaluation.per_query import DIRECTIONS
from tfxmodal.retrieval.cosine import GivenVectors

DEPTH = 400
"""No query has as many right items."""


def pairs(captions: dict[int, list[int]], each: bool = False) -> Pairs:
    """Photos by their COCO numbers, with the numbers of their captions."""
    rows = [(key, (number,)) for key, many in captions.items() for number in many]
    if not each:
        rows = [(key, tuple(many)) for key, many in captions.items()]
    keys = [key for key, _ in rows]
    names = [f"COCO_val2014_{key:012d}" + (f"#{n}" if each else "") for n, key in enumerate(keys)]
    return Pairs(
        np.array(names),
        np.array([f"{name}.jpg" for name in names]),
        [("a caption",) * len(numbers) for _, numbers in rows],
        image_ids=np.unique(keys, return_inverse=True)[1] if each else None,
        caption_ids=[numbers for _, numbers in rows],
    )


@pytest.fixture(scope="module")
def karpathy():
    """The true numbers, and embeddings in which a caption is near its photo."""
    pytest.importorskip("eccv_caption", reason="needs pip install eccv-caption")
    captions = positives("original", "image_to_text")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(len(captions), 16)).astype("float32")
    noise = rng.normal(size=(5 * len(captions), 16)).astype("float32")
    return captions, unit(images), unit(np.repeat(images, 5, axis=0) + noise)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ranked(queries: np.ndarray, gallery: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """Of each query the numbers of the first items of its ranking."""
    found = []
    for block in np.split(queries, range(500, len(queries), 500)):
        scores = block @ gallery.T
        first = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
        order = np.argsort(-np.take_along_axis(scores, first, axis=1), axis=1)
        found.extend(numbers[np.take_along_axis(first, order, axis=1)])
    return found


def test_the_numbers_are_those_of_the_package(karpathy):
    from eccv_caption import Metrics

    captions, images, texts = karpathy
    keys = np.array(list(captions))
    numbers = np.array([number for of_image in captions.values() for number in of_image])
    found = {
        "i2t": dict(zip(keys.tolist(), ranked(images, texts, numbers), strict=True)),
        "t2i": dict(zip(numbers.tolist(), ranked(texts, images, keys), strict=True)),
    }
    package = Metrics()
    cxc = {k: package.cxc_recalls(found, "all", K=k) for k in (1, 5, 10)}
    eccv = package.eccv_metrics(found, "all")
    ours = coco_extensions(GivenVectors(), pairs(captions), images, texts)
    for way, short in zip(DIRECTIONS, ("i2t", "t2i"), strict=True):
        for k in (1, 5, 10):
            assert ours["cxc"]["recall_at"][way][str(k)] == pytest.approx(cxc[k][short])
        assert ours["eccv"]["recall_at"][way]["1"] == pytest.approx(eccv["eccv_r1"][short])
        assert ours["eccv"]["map_r"][way] == pytest.approx(eccv["eccv_map_at_r"][short])
        assert ours["eccv"]["r_precision"][way] == pytest.approx(eccv["eccv_rprecision"][short])
    both = [ours["eccv"]["map_r"][way] for way in DIRECTIONS]
    assert ours["eccv"]["map_r"]["average"] == pytest.approx(np.mean(both))


def test_a_query_of_coco_1k_searches_its_own_fold_alone(karpathy):
    """The numbers of plain NumPy, and those of the package."""
    from eccv_caption import Metrics

    captions, images, texts = karpathy
    keys = np.array(list(captions))
    numbers = np.array([number for of_image in captions.values() for number in of_image])
    owner = np.repeat(np.arange(len(keys)), 5)
    package, best = Metrics(), {"image_to_text": [], "text_to_image": []}
    found = {"i2t": {}, "t2i": {}}
    for fold in np.split(package.coco_ids, 5):
        rows = np.flatnonzero(np.isin(numbers, fold))
        photos = np.unique(owner[rows])
        assert len(photos) == 1000 and len(rows) == 5000
        scores = images[photos] @ texts[rows].T
        right = photos[:, None] == owner[rows]
        for way, matrix, hits in (
            ("image_to_text", scores, right),
            ("text_to_image", scores.T, right.T),
        ):
            own = np.where(hits, matrix, -np.inf).max(axis=1)
            best[way].append(1 + np.count_nonzero(matrix > own[:, None], axis=1))
        first = np.argsort(-scores, axis=1)[:, :10]
        found["i2t"] |= dict(zip(keys[photos].tolist(), numbers[rows][first], strict=True))
        first = np.argsort(-scores.T, axis=1)[:, :10]
        found["t2i"] |= dict(zip(numbers[rows].tolist(), keys[photos][first], strict=True))
    ours = coco_extensions(GivenVectors(), pairs(captions), images, texts)["coco_1k"]["recall_at"]
    for k in (1, 5, 10):
        theirs = package.coco_1k_recalls(found, "all", K=k)
        for way, short in zip(DIRECTIONS, ("i2t", "t2i"), strict=True):
            expected = np.mean([np.mean(ranks <= k) for ranks in best[way]])
            assert ours[way][str(k)] == pytest.approx(expected)
            assert ours[way][str(k)] == pytest.approx(theirs[short])
        assert 0.05 < ours["average"][str(k)] < 0.99


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Lists of the package for two photos with two captions each."""
    own = {1: [10, 11], 2: [20, 21]}
    lists = {
        "original": (own, {10: [1], 11: [1], 20: [2], 21: [2]}),
        "cxc": ({1: [10, 11, 20], 2: [20]}, {10: [1], 20: [1, 2]}),
        "eccv": ({1: [10, 20], 2: [21, 99]}, {20: [1, 2]}),  # 99 is no caption of the split.
    }
    (tmp_path / "data").mkdir()
    for name, both in lists.items():
        for way, of_way in zip(DIRECTIONS, both, strict=True):
            file = tmp_path / "data" / f"{name}_{extensions.FILES[way]}.json"
            file.write_text(json.dumps(of_way))
    place = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(extensions, "find_spec", lambda _: place)
    np.save(tmp_path / "data" / "coco_test_ids.npy", [20, 21, 10, 11])
    monkeypatch.setattr(extensions, "FOLDS", 2)
    for read in (positives, folds):
        read.cache_clear()
    yield own
    for read in (positives, folds):
        read.cache_clear()


IMAGES = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
TEXTS = unit(np.array([[1.0, 0.1], [0.1, 1.0], [1.0, 1.0], [0.0, 1.0]], "float32"))


@pytest.mark.parametrize("each", [False, True])
def test_by_hand(small, each):
    images = np.repeat(IMAGES, 2, axis=0) if each else IMAGES
    found = coco_extensions(GivenVectors(), pairs(small, each), images, TEXTS)
    # Photo 1 ranks captions 10, 20, 11, 21; photo 2 ranks 21, 11, 20, 10.
    assert found["cxc"]["recall_at"]["image_to_text"] == {"1": 0.5, "5": 1, "10": 1}
    # Caption 10 finds photo 1. Both are right for caption 20, whatever comes first.
    assert found["cxc"]["recall_at"]["text_to_image"] == {"1": 1, "5": 1, "10": 1}
    assert found["cxc"]["recall_at"]["average"] == {"1": 0.75, "5": 1, "10": 1}
    # With a photo and its captions alone in a fold, each finds the other.
    ones = {"1": 1, "5": 1, "10": 1}
    assert found["coco_1k"] == {"recall_at": dict.fromkeys((*DIRECTIONS, "average"), ones)}
    assert found["eccv"]["map_r"] == {"image_to_text": 0.75, "text_to_image": 1, "average": 0.875}


def test_a_tie_counts_against_the_scorer(small):
    found = coco_extensions(GivenVectors(), pairs(small), IMAGES * 0 + 1, TEXTS * 0 + 1)
    assert found["cxc"]["recall_at"]["image_to_text"] == {"1": 0, "5": 1, "10": 1}
    assert found["eccv"]["r_precision"]["image_to_text"] == 0  # Two right ones after two wrong.


def test_other_splits_have_none(small, monkeypatch):
    some = pairs({1: small[1]})
    assert coco_extensions(GivenVectors(), some, IMAGES[:1], TEXTS[:2]) == {}
    renamed = pairs({1: [10, 11], 3: [20, 21]})
    assert coco_extensions(GivenVectors(), renamed, IMAGES, TEXTS) == {}
    monkeypatch.setattr(extensions, "find_spec", lambda _: None)
    assert coco_extensions(GivenVectors(), pairs(small), IMAGES, TEXTS) == {}
