from dataclasses import replace

import numpy as np
import pytest

from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.errors import InputError
from tfxmodal.methods.gradient.mrl import MRL, MRLConfig
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.settings import Settings

SIZES = {"hidden_units": (8,), "embedding_dim": 5}


def objective(u, v, centres, labels, beta, tau):
    """The released code's loss, one embedding after the other."""
    clustering = 0.0
    for each in (u, v):
        for z, y in zip(each, labels, strict=True):
            e = np.exp(z @ centres / tau)
            if not y.all():
                clustering += np.log((e * (1 - y)).sum() / e.sum()) / len(u)
    points, n, contrast = np.concatenate([u, v]), len(u), 0.0
    for i, z in enumerate(points):
        others = [np.exp(z @ other / tau) for j, other in enumerate(points) if j != i]
        contrast -= np.log(np.exp(z @ points[(i + n) % (2 * n)] / tau) / sum(others)) / (2 * n)
    return beta * clustering + (1 - beta) * 2 * contrast


@pytest.mark.parametrize(("beta", "tau"), [(0.7, 1.0), (0.4, 0.3)])
def test_the_loss_is_that_of_the_released_code(beta, tau):
    train = make_pairs(12)
    method = method_of(MRL, train, MRLConfig(**SIZES, beta=beta, temperature=tau))
    terms = method.loss_terms(batch_of(train), OneReplica())
    u, v = (
        method.networks[f"{kind}_encoder"](rows).numpy().astype(float)
        for kind, rows in (("image", train.images), ("text", train.texts))
    )
    (centres,) = method.networks["clusters"].get_weights()
    expected = objective(u, v, centres.astype(float), train.labels, beta, tau)
    total = sum(weight * float(terms[name]) for name, weight in method.weights.items())
    assert total == pytest.approx(expected, rel=1e-5)


def test_two_replicas_train_as_one_and_centres_keep_their_length(two_replicas, tmp_path):
    config = MRLConfig(**SIZES, temperature=0.3)
    method, start = assert_two_replicas_train_as_one(MRL, config, two_replicas, tmp_path)
    before, after = start[-1], method.networks["clusters"].get_weights()[0]
    np.testing.assert_allclose(before.T @ before, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(after, axis=0), 1, rtol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_one_class_leaves_the_contrast_alone():
    train = replace(make_pairs(8), labels=np.ones((8, 1), np.uint8))
    method = method_of(MRL, train, MRLConfig(**SIZES))
    terms = method.loss_terms(batch_of(train), OneReplica())
    assert float(terms["robust_clustering"]) == 0 and float(terms["contrastive"]) > 0
    alone = method.loss_terms(batch_of(train, slice(0, 1)), OneReplica())
    assert float(alone["contrastive"]) == 0  # A batch of one pair has no negatives.


@pytest.mark.parametrize("as_released", [False, True])
def test_the_learning_rate_falls_with_a_cosine_as_released(as_released, tmp_path):
    def trainer(minutes=0.0):
        strategy, train = make_strategy("CPU:0"), make_pairs(8)
        training = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, minutes=minutes)
        with strategy.scope():
            method = method_of(MRL, train, MRLConfig(**SIZES, as_released=as_released))
            return Trainer(method, train, training, strategy, tmp_path)

    def rates(of):
        return [each.learning_rates["all"] for each in of.epochs(lambda: (0.0, {}))]

    found = rates(trainer(minutes=1e-9))  # It ends after an epoch, and another goes on.
    again = trainer()
    assert again.restore_last()
    found += rates(again)
    falling = 0.01 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2
    assert found == pytest.approx(falling if as_released else [0.01] * 4)


def test_with_the_released_schedule_a_run_keeps_to_its_epochs():
    given = Settings("mrl").having(as_released=True)
    with pytest.raises(InputError, match="`epochs` must be the 30 .* since mrl follows a schedule"):
        given.having(epochs=60).continuing(given)
    without = Settings("mrl")
    assert without.having(epochs=60).continuing(without).training.epochs == 60
