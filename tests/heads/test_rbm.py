from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import OneReplica
from tfxmodal.heads.rbm import RBM, DenoisingAutoencoder, JointCode

RNG = np.random.default_rng(0)
A, B, W = RNG.normal(size=3), RNG.normal(size=2), RNG.normal(size=(3, 2))
ROWS = {
    "bernoulli": np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [1, 0, 1]], float),
    "gaussian": RNG.normal(size=(4, 3)),
    "counts": np.array([[2, 0, 1], [0, 0, 0], [1, 4, 0], [0, 1, 0]], float),
}

HIDDEN = np.array(list(product([0, 1], repeat=2)), float)
KINDS = ("bernoulli", "gaussian", "counts")


def machine(visible="bernoulli", layer=RBM, **options):
    """A 3 x 2 machine in float64, whose units are drawn against .5."""
    made = layer(2, visible, dtype="float64", **options)
    made.build((None, 3))
    made.set_weights([W, A, B])
    made._uniform = lambda like, replicas: tf.fill(tf.shape(like), tf.constant(0.5, like.dtype))
    return made


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hidden_input(v, visible):
    return v @ W + (v.sum() if visible == "counts" else 1) * B


def energy(v, h, visible):
    own = ((v - A) ** 2).sum() / 2 if visible == "gaussian" else -A @ v
    return own - hidden_input(v, visible) @ h


def gradients(layer, loss):
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, [variable.value for variable in layer.trainable_variables])
    return [each.numpy() for each in found]


@pytest.mark.parametrize("visible", KINDS)
def test_free_energy_and_posterior_are_those_of_all_hidden_states(visible):
    layer = machine(visible)
    for v in ROWS[visible]:
        weights = np.exp([-energy(v, h, visible) for h in HIDDEN])
        assert float(layer.free_energy(v[None])[0]) == pytest.approx(-np.log(weights.sum()))
        np.testing.assert_allclose(layer(v[None])[0], weights @ HIDDEN / weights.sum())


def test_with_exact_expectations_it_is_the_gradient_of_the_log_likelihood():
    """Of all 8 x 4 states: what CD-1 puts one reconstruction in the place of."""
    layer, states = machine(), np.array(list(product([0, 1], repeat=3)), float)
    joint = np.exp([[-energy(v, h, "bernoulli") for h in HIDDEN] for v in states])
    joint /= joint.sum()
    data, p = ROWS["bernoulli"], joint.sum(axis=1)
    on = sigmoid(data @ W + B)
    expected = [  # d log p / d W, a, b
        data.T @ on / 4 - np.einsum("vd,vs,sh->dh", states, joint, HIDDEN),
        data.mean(axis=0) - p @ states,
        on.mean(axis=0) - joint.sum(axis=0) @ HIDDEN,
    ]

    def loss():
        model = tf.reduce_sum(tf.constant(p) * layer.free_energy(tf.constant(states)))
        return tf.reduce_mean(layer.free_energy(tf.constant(data))) - model

    for found, each in zip(gradients(layer, loss), expected, strict=True):
        np.testing.assert_allclose(found, -each, atol=1e-12)


@pytest.mark.parametrize("visible", KINDS)
def test_contrastive_divergence_is_data_less_reconstruction(visible):
    layer, expected = machine(visible), [np.zeros((3, 2)), np.zeros(3), np.zeros(2)]
    for v in ROWS[visible]:
        on = sigmoid(hidden_input(v, visible))
        again = W @ (on > 0.5) + A
        if visible == "bernoulli":
            again = sigmoid(again)
        if visible == "counts":
            again = v.sum() * np.exp(again) / np.exp(again).sum()
        for sign, row in ((-1, v), (1, again)):
            on = sigmoid(hidden_input(row, visible))
            words = row.sum() if visible == "counts" else 1
            own = row - A if visible == "gaussian" else row
            for total, part in zip(expected, (np.outer(row, on), own, words * on), strict=True):
                total += sign * part / 4
    found = gradients(
        layer, lambda: tf.reduce_mean(layer.row_losses(tf.constant(ROWS[visible]), OneReplica()))
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_it_is_zero_where_the_reconstruction_is_the_data():
    layer = machine("gaussian")
    layer.set_weights([np.zeros((3, 2)), A, B])
    rows = np.tile(A, (5, 1))
    found = gradients(
        layer, lambda: tf.reduce_mean(layer.row_losses(tf.constant(rows), OneReplica()))
    )
    assert all(np.abs(each).max() < 1e-15 for each in found)


def test_units_are_drawn_with_their_probability_and_anew():
    layer = machine()
    del layer._uniform
    like = tf.zeros([20000, 2], tf.float64)
    first, second = (layer._uniform(like, OneReplica()).numpy() for _ in range(2))
    np.testing.assert_allclose(np.mean(first < 0.3, axis=0), 0.3, atol=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("visible", KINDS)
def test_an_autoencoder_reconstructs_what_was_dropped(visible):
    layer, rows = machine(visible, DenoisingAutoencoder), ROWS[visible]
    dropped = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], float)
    layer._uniform = lambda like, replicas: tf.constant(1 - dropped)
    found = layer.row_losses(tf.constant(rows), OneReplica())
    for loss, v, mask in zip(found, rows, dropped, strict=True):
        again = W @ sigmoid(hidden_input(v * (1 - mask), visible)) + A
        if visible == "bernoulli":
            again = sigmoid(again)
        if visible == "counts":
            again = v.sum() * np.exp(again) / np.exp(again).sum()
        assert float(loss) == pytest.approx(((again - v) ** 2).sum())


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_missing_code_is_inferred_by_mean_field(first, steps):
    """Of a machine over a code of two units and one of one."""
    known = RNG.random((4, 2 if first else 1))
    here, there = (slice(2), slice(2, 3)) if first else (slice(2, 3), slice(2))
    hidden = sigmoid(known @ W[here] + B)
    for _ in range(steps):
        other = sigmoid(hidden @ W[there].T + A[there])
        hidden = sigmoid(known @ W[here] + other @ W[there] + B)
    found = JointCode(machine(), first, steps, dtype="float64")(known)
    np.testing.assert_allclose(found, hidden)
