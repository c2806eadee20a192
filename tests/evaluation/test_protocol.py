import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.test_metrics import loop_average_precision, loop_rank
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation import protocol as evaluation
from tfxmodal.evaluation.protocol import (
    BLOCK,
    DIRECTIONS,
    Side,
    check_selection,
    evaluate,
    selection_score,
)
from tfxmodal.retrieval.scorer import Scorer


class Bilinear(Scorer):
    """An asymmetric score; counts the pairs it was asked for."""

    def __init__(self, dim=4):
        self.weights = np.random.default_rng(9).standard_normal((dim, dim)).astype(np.float32)
        self.largest, self.pairs = 0, 0

    def embed_images(self, features):
        return features

    embed_texts = embed_images

    def score(self, images, texts):
        self.largest = max(self.largest, len(images) * len(texts))
        self.pairs += len(images) * len(texts)
        return images @ self.weights @ texts.T


def pairs_of(images, texts, labels=None, queries=None) -> Pairs:
    return Pairs(np.arange(len(images)), images, texts, labels, queries=queries)


@pytest.fixture
def split():
    """60 embedded pairs with labels, and 150 captions of them."""
    rng = np.random.default_rng(0)
    n, captions = 60, 150
    owners = np.concatenate([np.arange(n), rng.integers(0, n, captions - n)])
    labels = (rng.random((n, 5)) < 0.3).astype(np.uint8)
    labels[7] = 0
    images, texts = rng.standard_normal((2, n, 4)).astype(np.float32)
    embeddings = rng.standard_normal((captions, 4)).astype(np.float32)
    return pairs_of(images, texts, labels), Side(embeddings, owners)


def oracle(scores, labels, k):
    relevant = labels.astype(int) @ labels.T > 0
    return np.nanmean(
        [loop_average_precision(s, r, k) for s, r in zip(scores, relevant, strict=True)]
    )


def test_equals_the_oracle_both_ways(split, monkeypatch):
    monkeypatch.setattr(evaluation, "BLOCK", 1000)
    scorer = Bilinear()
    pairs, captions = split
    results = evaluate(scorer, pairs, captions)
    assert scorer.largest <= 1000
    scores = scorer.score(pairs.images, pairs.texts)
    by_direction = dict(zip(DIRECTIONS, (scores, scores.T), strict=True))
    for name, k in (("map_all", None), ("map_50", 50)):
        expected = {d: oracle(s, pairs.labels, k) for d, s in by_direction.items()}
        expected["average"] = np.mean(list(expected.values()))
        assert results[name] == pytest.approx(expected, abs=1e-9)

    scores = scorer.score(pairs.images, captions.embeddings)
    right = np.equal.outer(np.arange(60), captions.pairs)
    to_text = np.array([loop_rank(s, r) for s, r in zip(scores, right, strict=True)])
    to_image = np.array([loop_rank(s, r) for s, r in zip(scores.T, right.T, strict=True)])
    for k in (1, 5, 10):
        recalls = [results["recall_at"][name][str(k)] for name in (*DIRECTIONS, "average")]
        both = [np.mean(to_text <= k), np.mean(to_image <= k)]
        assert recalls == pytest.approx([*both, np.mean(both)])
    assert results["median_rank"] == {
        "image_to_text": np.median(to_text),
        "text_to_image": np.median(to_image),
    }
    assert results["queries"] == {"image_to_text": 60, "text_to_image": 150}
    assert results["gallery"] == {"image_to_text": 150, "text_to_image": 60}
    missing = int(np.sum(pairs.labels.sum(axis=1) == 0))
    assert results["queries_without_relevant"] == dict.fromkeys(DIRECTIONS, missing)
    assert selection_score(results) == results["map_all"]["average"]


def test_results_are_json(split):
    results = evaluate(Bilinear(), *split)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_without_labels_and_captions():
    embeddings = np.eye(4, dtype=np.float32)
    scorer = Bilinear()
    scorer.weights = np.eye(4, dtype=np.float32)
    results = evaluate(scorer, pairs_of(embeddings, embeddings))
    assert results["map_all"] is None and results["map_50"] is None
    perfect = {"1": 1.0, "5": 1.0, "10": 1.0}
    assert results["recall_at"] == dict.fromkeys((*DIRECTIONS, "average"), perfect)
    assert selection_score(results) == 1
    swapped = evaluate(scorer, pairs_of(embeddings, embeddings[[1, 0, 2, 3]]))
    assert selection_score(swapped) == pytest.approx((0.5 + 1 + 1) / 3)


def test_scores_each_pair_once_a_direction(split):
    scorer = Bilinear()
    evaluate(scorer, split[0])
    assert scorer.pairs == 2 * 60 * 60


def test_images_without_captions_are_counted(split):
    pairs, captions = split
    some = Side(captions.embeddings, np.minimum(captions.pairs, 50))
    results = evaluate(Bilinear(), replace(pairs, labels=None), some)
    assert results["queries_without_relevant"] == {"image_to_text": 9, "text_to_image": 0}


def test_labels_that_share_nothing_give_none_and_select_by_recall(split):
    pairs, captions = split
    results = evaluate(Bilinear(), replace(pairs, labels=np.zeros((60, 3), np.uint8)), captions)
    assert set(results["map_all"].values()) == {None}
    assert selection_score(results) == selection_score(results, "recall")
    with pytest.raises(InputError, match="`select_by` map needs labels .* use recall, or last"):
        selection_score(results, "map")


@pytest.mark.parametrize("blocks", [BLOCK, 200])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), data=st.data())
def test_queries_rank_the_other_rows(blocks, seed, n, data):
    """An oracle in plain NumPy; the database is what does not ask, in both directions."""
    asks = np.zeros(n, bool)
    asks[data.draw(st.permutations(range(n)))[: data.draw(st.integers(1, n - 1))]] = True
    rng = np.random.default_rng(seed)
    images, texts = rng.standard_normal((2, n, 4)).astype(np.float32)
    labels = (rng.random((n, 4)) < 0.3).astype(np.uint8)
    scorer = Bilinear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BLOCK", blocks)
        results = evaluate(scorer, pairs_of(images, texts, labels, asks))

    right = labels[asks].astype(int) @ labels[~asks].T > 0
    of_direction = {
        "image_to_text": images[asks] @ scorer.weights @ texts[~asks].T,
        "text_to_image": (images[~asks] @ scorer.weights @ texts[asks].T).T,
    }
    for name, k in (("map_all", None), ("map_50", 50)):
        for direction, scores in of_direction.items():
            each = [loop_average_precision(*row, k) for row in zip(scores, right, strict=True)]
            found = [value for value in each if not np.isnan(value)]
            expected = pytest.approx(np.mean(found), abs=1e-9) if found else None
            assert results[name][direction] == expected
    sizes = int(asks.sum()), int((~asks).sum())
    assert [results[name]["text_to_image"] for name in ("queries", "gallery")] == [*sizes]
    assert [results[name]["image_to_text"] for name in ("queries", "gallery")] == [*sizes]
    without = int((~right.any(axis=1)).sum())
    assert results["queries_without_relevant"] == dict.fromkeys(DIRECTIONS, without)
    assert results["recall_at"]["average"] == {"1": None, "5": None, "10": None}
    assert results["median_rank"] == dict.fromkeys(DIRECTIONS, None)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), captions=st.lists(st.integers(1, 4), min_size=2, max_size=9))
def test_repeated_images_are_taken_once(seed, captions):
    """As the protocol of the field, which has each image once and its captions by themselves."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(np.arange(len(captions)), captions))
    images = rng.standard_normal((len(captions), 4)).astype(np.float32)
    labels = (rng.random((len(captions), 3)) < 0.5).astype(np.uint8)
    texts = rng.standard_normal((len(order), 4)).astype(np.float32)
    rows = pairs_of(images[order], texts, labels[order])
    found = evaluate(Bilinear(), replace(rows, image_ids=order))

    of_captions = evaluate(Bilinear(), pairs_of(images, images, labels), Side(texts, order))
    for name in ("recall_at", "median_rank", "queries", "gallery", "queries_with_ties"):
        assert found[name] == of_captions[name], name
    scores = Bilinear().score(images, texts)
    right = labels.astype(int) @ labels[order].T > 0
    for direction, (matrix, relevant) in zip(
        DIRECTIONS, [(scores, right), (scores.T, right.T)], strict=True
    ):
        each = [loop_average_precision(*row) for row in zip(matrix, relevant, strict=True)]
        each = [value for value in each if not np.isnan(value)]
        expected = pytest.approx(np.mean(each), abs=1e-9) if each else None
        assert found["map_all"][direction] == expected


def test_repeated_images_among_queries_and_database():
    rng = np.random.default_rng(3)
    texts = rng.standard_normal((8, 4)).astype(np.float32)
    image_ids = np.array([5, 5, 2, 2, 5, 7, 7, 7])
    images = rng.standard_normal((8, 4)).astype(np.float32)[image_ids]
    pairs = pairs_of(images, texts, np.eye(8, dtype=np.uint8)[image_ids], np.arange(8) < 4)
    found = evaluate(Bilinear(), replace(pairs, image_ids=image_ids))
    assert found["queries"] == {"image_to_text": 2, "text_to_image": 4}
    assert found["gallery"] == {"image_to_text": 4, "text_to_image": 2}


def test_queries_with_ties_are_counted():
    """Items 1 and 2 are the same picture with other texts; 0 and 3 are like no other."""
    images, texts = np.eye(4, dtype=np.float32)[[0, 1, 1, 3]], np.eye(4, dtype=np.float32)
    texts[2] = [0, 0.9, 0, 0]
    scorer = Bilinear()
    scorer.weights = np.eye(4, dtype=np.float32)
    found = evaluate(scorer, pairs_of(images, texts))
    assert found["queries_with_ties"] == {"image_to_text": 0, "text_to_image": 2}
    # Texts 1 and 2 find two equal pictures, and the wrong one counts as the better.
    assert found["recall_at"]["text_to_image"]["1"] == 0.5
    assert found["recall_at"]["text_to_image"]["5"] == 1


def test_queries_beside_their_own_copies_give_the_numbers_of_the_split(split):
    """Where the database is the queries again, the numbers are those of the split by itself."""
    pairs, _ = split
    asks = np.arange(120) < 60
    doubled = pairs_of(*(np.concatenate([c, c]) for c in (pairs.images, pairs.texts, pairs.labels)))
    results = evaluate(Bilinear(), replace(doubled, queries=asks))
    alone = evaluate(Bilinear(), pairs)
    for name in ("map_all", "map_50", "queries", "gallery", "queries_without_relevant"):
        assert results[name] == alone[name]


@pytest.mark.parametrize("asks", [np.zeros(60, bool), np.ones(60, bool)])
def test_queries_without_a_database(split, asks):
    with pytest.raises(InputError, match="`queries` must mark pairs that ask and leave others"):
        evaluate(Bilinear(), replace(split[0], queries=asks))


@pytest.mark.parametrize(
    ("owners", "message"),
    [
        (np.zeros(3, int), r"shape \(3,\) for 150 captions"),
        (np.full(150, 60), "integer of 0 to 59"),
        (np.zeros(150), "received float64"),
    ],
)
def test_captions_that_do_not_fit(split, owners, message):
    with pytest.raises(InputError, match=message):
        evaluate(Bilinear(), split[0], Side(split[1].embeddings, owners))


def test_no_captions_at_all(split):
    with pytest.raises(InputError, match="for 0 captions"):
        evaluate(Bilinear(), split[0], Side(np.zeros((0, 4), np.float32), np.zeros(0, int)))


def test_empty_and_unpaired_splits():
    with pytest.raises(InputError, match="received 0 images"):
        evaluate(Bilinear(), pairs_of(np.zeros((0, 4)), np.zeros((0, 4))))
    labels = np.ones((3, 1), np.uint8)
    unpaired = Pairs(np.arange(3), np.zeros((3, 4)), np.zeros((3, 4)), labels, labels)
    with pytest.raises(InputError, match="not paired with texts: give pairs"):
        evaluate(Bilinear(), unpaired)


def test_selection_by_name(split):
    results = evaluate(Bilinear(), *split)
    recall = np.mean(list(results["recall_at"]["average"].values()))
    assert selection_score(results) == selection_score(results, "map")
    assert selection_score(results, "map") == results["map_all"]["average"]
    assert selection_score(results, "recall") == pytest.approx(recall)
    assert selection_score(results, "last") is None
    with pytest.raises(InputError, match="Unknown select_by 'loss'; use one of: auto, last, map"):
        selection_score(results, "loss")


def test_selection_by_what_is_not_there(split):
    pairs, captions = split
    results = evaluate(Bilinear(), replace(pairs, labels=None), captions)
    with pytest.raises(InputError, match="`select_by` map needs labels .* use recall, or last"):
        selection_score(results, "map")
    asking = evaluate(Bilinear(), replace(pairs, queries=np.arange(60) < 5))
    with pytest.raises(InputError, match="No query of the validation split"):
        selection_score(asking, "recall")


def test_labels_that_cannot_select_are_told_beforehand(split):
    pairs, _ = split
    apart = np.eye(2, dtype=np.uint8)[(np.arange(60) < 5).astype(int)]
    for unlike in (
        replace(pairs, labels=None),
        replace(pairs, labels=np.zeros((60, 3), np.uint8)),
        replace(pairs, labels=apart, queries=np.arange(60) < 5),
    ):
        with pytest.raises(InputError, match="`select_by` map needs labels .* use recall, or last"):
            check_selection(unlike, "map")
        check_selection(unlike, "auto")
    check_selection(pairs, "map")
