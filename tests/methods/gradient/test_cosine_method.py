"""What methods that gradients train have in common: replicas, precision, rows that say little."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.methods.gradient.test_distil import CONFIG as STUDENT
from tests.methods.gradient.test_distil import Taught
from tests.training.test_loop import float64
from tests.training.tiny import (
    SMALL,
    OneReplica,
    batch_of,
    make_pairs,
    method_of,
    small_method,
    weights,
    with_sgd,
)
from tfxmodal.methods import METHODS

NAMES = ("dscmr", "sdml", "dccae")
"""Those that are compared on two replicas here; others are in their own tests."""

LEARNERS = sorted(name for name, spec in METHODS.items() if spec.learner)


def config(name, **fields):
    return METHODS[name].config(**SMALL[name] | fields)


def made(name, train, **fields):
    """A small method, and its training pairs as it sees them."""
    if name == "distil":
        return method_of(Taught, train, replace(STUDENT, **fields)), train
    spec = METHODS[name]
    own = {each: value for each, value in fields.items() if hasattr(spec.config, each)}
    return small_method(name, train, **own), spec.seen(train, spec.config(), 0)


def partly_labelled():
    """Pairs of which the first half of most batches holds fewer labels than the second."""
    train = make_pairs()
    train.labels[::3] = 0
    return train


@pytest.mark.parametrize(
    "name, fields", [*((name, {}) for name in NAMES), ("dscmr", {"binary": 16})]
)
def test_two_replicas_train_as_one_in_float64(name, fields, two_replicas, tmp_path):
    found, scaled = [], config(name, image_scaling="standard", text_scaling="center", **fields)
    with float64():
        for strategy in (None, two_replicas):
            learner = METHODS[name].learner
            method, trainer = with_sgd(learner, scaled, tmp_path, strategy, partly_labelled())
            start, steps = weights(method), trainer._steps
            values = steps.run(trainer.plan(1), 0, 2)[:, : len(steps.names)]
            found.append((start, values, weights(method)))
    (start, losses, ours), (_, others, theirs) = found
    np.testing.assert_allclose(losses, others, rtol=1e-10, atol=1e-10)
    for before, one, two in zip(start, ours, theirs, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10)
        assert np.abs(one - before).max() > 1e-8 or one.ndim == 1


def losses_and_gradients(method, train):
    """Of each update of each stage the terms on all rows, and the gradients of their sum."""
    batch = dict.fromkeys(("pairs", "unlabelled"), batch_of(train)["pairs"])  # SCL's has no labels.
    for update in (update for stage in method.stages() for update in stage.updates):
        with tf.GradientTape() as tape:
            terms = update.losses(batch, OneReplica())
            total = tf.add_n([terms[name] for name in update.weights])
        yield terms, tape.gradient(total, [variable.value for variable in update.variables])


def degenerate(what):
    train = make_pairs(16)
    if what == "one class":
        return replace(train, labels=np.eye(3, dtype="uint8")[np.zeros(16, int)])
    if what == "a class of one sample":
        return replace(train, labels=np.eye(3, dtype="uint8")[[2] + 15 * [0]])
    if what == "repeated rows":
        return train.take(np.zeros(16, int))
    train.images[:, 0] = train.texts[:, 1] = 3
    return train


WAYS = ("one class", "a class of one sample", "repeated rows", "a constant column")
REFUSED = {("mcsm", "one class")}


@pytest.mark.parametrize("scaling", ["none", "standard"])
@pytest.mark.parametrize("name", LEARNERS)
def test_degenerate_rows_have_finite_losses_and_gradients(name, scaling):
    method, _ = made(name, make_pairs(16), image_scaling=scaling, text_scaling=scaling)
    for what in WAYS:
        if (name, what) in REFUSED:
            continue
        train = METHODS[name].seen(degenerate(what), METHODS[name].config(), 0)
        method.adapt(train, train)
        for terms, gradients in losses_and_gradients(method, train):
            assert all(np.isfinite(value) for value in terms.values()), what
            assert all(np.isfinite(gradient).all() for gradient in gradients), what
        method.settle(train)
        assert np.isfinite(method.scorer().embed_images(train.images)).all(), what


@pytest.mark.parametrize("name", LEARNERS)
def test_losses_are_in_float32_under_mixed_bfloat16(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        method, train = made(name, make_pairs())
    finally:
        keras.config.set_dtype_policy("float32")
    for terms, _ in losses_and_gradients(method, train):
        assert {value.dtype for value in terms.values()} == {tf.float32}
