from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one, trained
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of, unpaired
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.deep_sm import DeepSM, DeepSMConfig

CONFIG = DeepSMConfig(hidden_units=(8,), image_scaling="standard", text_scaling="standard")


def single(n: int = 64):
    """Pairs of one class."""
    pairs = make_pairs(n)
    return replace(pairs, labels=np.eye(3, dtype="uint8")[np.arange(n) % 3])


@pytest.mark.parametrize("make", [single, make_pairs], ids=["softmax", "sigmoid"])
def test_loss_and_score_are_those_of_the_posteriors(make):
    train = make()
    method = method_of(DeepSM, train, CONFIG)
    posteriors, terms = [], {}
    for kind, features in (("image", train.images), ("text", train.texts)):
        scaled = (features - features.mean(0)) / features.std(0)
        w1, b1, w2, b2 = (
            w.numpy().astype(float)
            for w in method.networks[f"{kind}_classifier"].trainable_variables
        )
        s, y = np.maximum(scaled @ w1 + b1, 0) @ w2 + b2, train.labels
        if make is single:
            p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
            terms[f"{kind}_classification"] = -np.mean(np.log(p[y == 1]))
        else:
            p = 1 / (1 + np.exp(-s))
            cross_entropy = y * np.log(p) + (1 - y) * np.log(1 - p)
            terms[f"{kind}_classification"] = -np.mean(cross_entropy.sum(axis=1))
        posteriors.append(p / np.linalg.norm(p, axis=1, keepdims=True))
    found = method.loss_terms(batch_of(train), OneReplica())
    assert {name: float(term) for name, term in found.items()} == pytest.approx(terms, rel=1e-4)
    scorer = method.scorer()
    scores = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
    np.testing.assert_allclose(scores, posteriors[0] @ posteriors[1].T, atol=1e-5)


def test_without_hidden_layers_it_is_a_logistic_regression():
    method = method_of(DeepSM, single(), DeepSMConfig(hidden_units=()))
    shapes = [w.shape for w in method.networks["image_classifier"].trainable_variables]
    assert shapes == [(6, 3), (3,)]


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    assert_two_replicas_train_as_one(DeepSM, CONFIG, two_replicas, tmp_path)


def test_unpaired_sets_are_trained_on(tmp_path):
    train = unpaired()
    METHODS["deep_sm"].check(train)
    _, _, (report,) = trained(DeepSM, CONFIG, tmp_path, train=train)
    assert np.isfinite(report.losses["total"])
    streams = method_of(DeepSM, train, CONFIG).streams(train, 0)
    assert {name: len(rows) for name, rows in streams.items()} == {"images": 40, "texts": 64}


def test_one_class_scores_all_alike():
    """Nothing tells items apart; nothing is NaN."""
    train = make_pairs()
    train = replace(train, labels=np.ones((64, 1), np.uint8))
    scorer = method_of(DeepSM, train, CONFIG).scorer()
    scores = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
    np.testing.assert_allclose(scores, 1, rtol=1e-6)


def test_a_constant_column_says_nothing():
    train = single()
    train.images[:, 2] = 7.0
    keras.utils.set_random_seed(0)
    method = method_of(DeepSM, train, CONFIG)
    before = method.scorer().embed_images(train.images)
    train.images[:, 2] = -1e6
    np.testing.assert_array_equal(method.scorer().embed_images(train.images), before)
    assert np.isfinite(before).all()
