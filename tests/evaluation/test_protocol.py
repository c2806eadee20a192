import json

import numpy as np
import pytest

from tests.evaluation.test_metrics import loop_average_precision, loop_rank
from tfxmodal.errors import InputError
from tfxmodal.evaluation import protocol as evaluation
from tfxmodal.evaluation.protocol import DIRECTIONS, evaluate, selection_score
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


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    n, captions = 60, 150
    owners = np.concatenate([np.arange(n), rng.integers(0, n, captions - n)])
    labels = (rng.random((n, 5)) < 0.3).astype(np.uint8)
    labels[7] = 0
    images, texts = rng.standard_normal((2, n, 4)).astype(np.float32)
    return {
        "image_embeddings": images,
        "text_embeddings": texts,
        "labels": labels,
        "caption_embeddings": rng.standard_normal((captions, 4)).astype(np.float32),
        "caption_image": owners,
    }


def oracle(scores, labels, k):
    relevant = labels.astype(int) @ labels.T > 0
    return np.nanmean(
        [loop_average_precision(s, r, k) for s, r in zip(scores, relevant, strict=True)]
    )


def test_equals_the_oracle_both_ways(split, monkeypatch):
    monkeypatch.setattr(evaluation, "BLOCK", 1000)
    scorer = Bilinear()
    results = evaluate(scorer, **split)
    assert scorer.largest <= 1000
    scores = scorer.score(split["image_embeddings"], split["text_embeddings"])
    by_direction = dict(zip(DIRECTIONS, (scores, scores.T), strict=True))
    for name, k in (("map_all", None), ("map_50", 50)):
        expected = {d: oracle(s, split["labels"], k) for d, s in by_direction.items()}
        expected["average"] = np.mean(list(expected.values()))
        assert results[name] == pytest.approx(expected, abs=1e-9)

    scores = scorer.score(split["image_embeddings"], split["caption_embeddings"])
    right = np.equal.outer(np.arange(60), split["caption_image"])
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
    missing = int(np.sum(split["labels"].sum(axis=1) == 0))
    assert results["queries_without_relevant"] == dict.fromkeys(DIRECTIONS, missing)
    assert selection_score(results) == results["map_all"]["average"]


def test_results_are_json(split):
    results = evaluate(Bilinear(), **split)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_without_labels_and_captions():
    embeddings = np.eye(4, dtype=np.float32)
    scorer = Bilinear()
    scorer.weights = np.eye(4, dtype=np.float32)
    results = evaluate(scorer, embeddings, embeddings)
    assert results["map_all"] is None and results["map_50"] is None
    perfect = {"1": 1.0, "5": 1.0, "10": 1.0}
    assert results["recall_at"] == dict.fromkeys((*DIRECTIONS, "average"), perfect)
    assert selection_score(results) == 1
    swapped = evaluate(scorer, embeddings, embeddings[[1, 0, 2, 3]])
    assert selection_score(swapped) == pytest.approx((0.5 + 1 + 1) / 3)


def test_scores_each_pair_once_a_direction(split):
    scorer = Bilinear()
    evaluate(scorer, split["image_embeddings"], split["text_embeddings"], split["labels"])
    assert scorer.pairs == 2 * 60 * 60


def test_images_without_captions_are_counted(split):
    split |= {"labels": None, "caption_image": np.minimum(split["caption_image"], 50)}
    results = evaluate(Bilinear(), **split)
    assert results["queries_without_relevant"] == {"image_to_text": 9, "text_to_image": 0}


def test_labels_that_share_nothing_give_none(split):
    split["labels"] = np.zeros((60, 3), np.uint8)
    results = evaluate(Bilinear(), **split)
    assert set(results["map_all"].values()) == {None}
    with pytest.raises(InputError, match="No query of the validation split has a relevant item"):
        selection_score(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((59, 3))}, "'labels': 59"),
        ({"text_embeddings": np.zeros((61, 4))}, "'texts': 61"),
        ({"caption_image": None}, "`caption_image` must hold"),
        ({"caption_image": np.zeros(3, int)}, r"shape \(3,\) for 150 captions"),
        ({"caption_image": np.full(150, 60)}, "integer of 0 to 59"),
        ({"caption_image": np.zeros(150)}, "received float64"),
    ],
)
def test_rows_that_do_not_fit(split, change, message):
    with pytest.raises(InputError, match=message):
        evaluate(Bilinear(), **split | change)


def test_empty_split():
    with pytest.raises(InputError, match="'images': 0"):
        evaluate(Bilinear(), np.zeros((0, 4)), np.zeros((0, 4)))
