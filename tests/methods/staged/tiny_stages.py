"""What the tests of methods in stages share."""

import keras
import numpy as np
import tensorflow as tf

from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of

UNITS = {"image_units": (5, 4), "text_units": (4, 3), "hidden_units": (4,)}


def made(method_class, config, train=None, **inputs):
    """A method for training pairs."""
    keras.utils.set_random_seed(0)
    return method_of(method_class, make_pairs() if train is None else train, config, **inputs)


def with_large_weights(method):
    """The method with weights by which codes differ from item to item more than by rounding."""
    rng = np.random.default_rng(0)
    for variable in method.trainable_variables():
        variable.assign(4 * rng.normal(size=variable.shape))
    return method


def terms_and_gradients(stage, batch):
    """The terms of a stage, and the gradient of their weighted sum by each of its variables."""
    (update,) = stage.updates
    with tf.GradientTape() as tape:
        terms = update.losses(batch, OneReplica())
        total = tf.add_n([weight * terms[name] for name, weight in update.weights.items()])
    return terms, tape.gradient(total, [variable.value for variable in update.variables])


def assert_stages_train_all_layers_apart(method, pairs):
    """Each variable is of one stage, and every one of a stage is reached by its loss."""
    found = []
    for stage in method.stages():
        terms, gradients = terms_and_gradients(stage, batch_of(pairs))
        assert all(np.isfinite(value) for value in terms.values())
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
        found += [id(variable) for variable in stage.updates[0].variables]
    assert len(set(found)) == len(found)
    return set(found)


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


def standardised(rows):
    """Codes by the statistics that batch normalisation starts with."""
    return rows / np.sqrt(1 + 1e-5)


def dense(rows, weights, activation=lambda x: x):
    """A fully connected layer in NumPy."""
    return activation(np.asarray(rows, float) @ weights[0] + weights[-1])


def assert_codes_are(method, kind, train, others, expected):
    """A modality's codes are as expected; its embeddings are these, standardised by training's."""
    rows = f"{kind}s"
    code = method.parts[f"{kind}_code"]
    codes, of_train = (
        code(getattr(pairs, rows)).numpy().astype(float) for pairs in (others, train)
    )
    assert np.std(expected, axis=0).max() > 0.02
    np.testing.assert_allclose(codes, expected, atol=1e-4)
    method.settle(train)
    units = (codes - of_train.mean(axis=0)) / of_train.std(axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    found = getattr(method.scorer(), f"embed_{rows}")(getattr(others, rows))
    np.testing.assert_allclose(found, units, atol=1e-3)
