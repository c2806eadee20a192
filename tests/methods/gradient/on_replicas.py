"""The same training on one replica and on two."""

import numpy as np
import pytest

from tests.training.tiny import weights, with_sgd


def trained(method_class, config, folder, strategy=None, train=None):
    """A method, its weights at the start and the report of an epoch of its last stage, by SGD."""
    training = {"epochs": 1, "learning_rate": 0.1}
    method, trainer = with_sgd(method_class, config, folder, strategy, train, **training)
    start = weights(method)
    return method, start, list(trainer.epochs(lambda: (0.0, {})))


def assert_two_replicas_train_as_one(method_class, config, two_replicas, folder, train=None):
    """Asserts that losses and weights are the same on one replica and on two.

    Returns:
        The method as one replica has trained it, and its weights before.
    """
    one, start, reports = trained(method_class, config, folder / "one", None, train)
    two, _, others = trained(method_class, config, folder / "two", two_replicas, train)
    for ours, theirs in zip(reports, others, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-5, abs=1e-6)
    moved = 0.0
    for before, ours, theirs in zip(start, weights(one), weights(two), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        moved = max(moved, np.abs(ours - before).max())
    assert moved > 1e-2
    return one, start
