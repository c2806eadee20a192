from importlib import import_module

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.heads.recurrent_attention import recurrent_attention

STEPS, WIDTH, UNITS, DIM = 5, 3, 4, 2
X = np.random.default_rng(0).normal(size=(3, STEPS, WIDTH)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    steps, mask = keras.Input([None, WIDTH]), keras.Input([None], dtype="bool")
    return keras.Model([steps, mask], recurrent_attention(steps, UNITS, DIM, 0.5, mask))


def lstm(x, kernel, recurrent, bias):
    """Outputs of an LSTM, step by step."""
    h, c, outputs = np.zeros(UNITS), np.zeros(UNITS), []
    for row in x:
        i, f, g, o = np.split(row @ kernel + h @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-each)) for each in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def test_equals_the_steps_one_after_another(model):
    one, two, dense, inner, score = (
        [w.astype(float) for w in layer.get_weights()] for layer in model.layers if layer.weights
    )
    found, weights = model([X, MASK], training=False)
    for x, mask, u, a in zip(X, MASK, found.numpy(), weights.numpy(), strict=True):
        expected, attention = np.zeros(DIM), np.zeros(STEPS)
        if mask.any():  # Steps that are not there are passed over.
            h = lstm(lstm(x[mask], *one), *two) @ dense[0] + dense[1]
            matter = np.exp((np.tanh(h @ inner[0] + inner[1]) @ score[0] + score[1])[:, 0])
            attention[mask] = matter / matter.sum()
            expected = attention[mask] @ h
        np.testing.assert_allclose(a, attention, atol=1e-6)
        np.testing.assert_allclose(u, expected, atol=1e-6)
        np.testing.assert_array_equal(a[~mask], 0)
    np.testing.assert_allclose(weights.numpy().sum(axis=1), [1, 1, 0], rtol=1e-6)


def test_a_machine_with_a_gpu_makes_a_graph_that_runs_without(monkeypatch):
    rnn = import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)
    steps, mask = keras.Input([STEPS, WIDTH]), keras.Input([STEPS], dtype="bool")
    model = keras.Model([steps, mask], recurrent_attention(steps, UNITS, DIM, 0.5, mask))
    spec = [tf.TensorSpec([None, STEPS, WIDTH]), tf.TensorSpec([None, STEPS], tf.bool)]
    graph = tf.function(model).get_concrete_function(spec).graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    assert nodes and not [node.op for node in nodes if "Cudnn" in node.op]


def test_what_is_behind_the_end_changes_nothing(model):
    longer = np.pad(X, [(0, 0), (0, 4), (0, 0)], constant_values=7)
    ours, _ = model([X, MASK], training=False)
    theirs, _ = model([longer, np.pad(MASK, [(0, 0), (0, 4)])], training=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_steps_that_matter_alike_give_their_mean(model):
    score = [layer for layer in model.layers if layer.weights][-1]
    before = score.get_weights()
    score.set_weights([np.zeros_like(each) for each in before])
    every = np.ones_like(MASK)
    found, weights = model([X, every], training=False)
    outputs = keras.Model(model.input, model.get_layer("steps").output)([X, every], training=False)
    score.set_weights(before)
    np.testing.assert_allclose(weights, 1 / STEPS, rtol=1e-6)
    np.testing.assert_allclose(found, np.mean(outputs, axis=1), atol=1e-6)


def test_a_sequence_of_one_step_is_attended_wholly(model):
    _, weights = model([X[:, :1], MASK[:, :1]], training=False)
    np.testing.assert_array_equal(weights, [[1], [1], [0]])
