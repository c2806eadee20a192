import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import make_trainer, weights
from tfxmodal.training.isolation import isolated, repeatable_graphs

ARITHMETIC = "arithmetic_optimization"


def rewriting_is_on() -> bool:
    return tf.config.optimizer.get_experimental_options().get(ARITHMETIC, True)


def draws():
    """A number of each generator that `keras.utils.set_random_seed` sets."""
    numbers = random.random(), np.random.random(), tf.random.uniform([]), keras.random.uniform([])
    return [float(number) for number in numbers]


def experiment(folder, precision, seed):
    """The weights of a short training, and what its generators give after it."""
    with isolated(precision, seed):
        assert keras.config.dtype_policy().name == precision
        assert not rewriting_is_on()
        first = draws()
        method, trainer = make_trainer(folder, scl={"dropout": 0.3}, seed=seed, precision=precision)
        list(trainer.epochs(lambda: (0.0, {})))
        return [*first, *weights(method), *draws()]


def test_two_experiments_in_either_order_give_the_same(tmp_path):
    kinds = [("float32", 3), ("mixed_bfloat16", 4)]
    found = {}
    for order in (kinds, kinds[::-1]):
        for kind in order:
            results = experiment(tmp_path / f"{kind[0]}-{order[0][0]}", *kind)
            for ours, others in zip(results, found.setdefault(kind, results), strict=True):
                np.testing.assert_array_equal(ours, others)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails):
    keras.utils.set_random_seed(7)
    expected = draws()
    following = draws()

    keras.utils.set_random_seed(7)
    assert draws() == expected
    before = keras.config.dtype_policy()
    try:
        with isolated("mixed_bfloat16", 1):
            draws()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert keras.config.dtype_policy() == before
    assert rewriting_is_on()
    python, in_numpy, in_tensorflow, in_keras = draws()
    assert [python, in_numpy, in_keras] == [following[0], following[1], following[3]]
    assert in_tensorflow == expected[2]  # From its seed anew.


def test_a_training_leaves_graph_rewriting_as_it_was(tmp_path):
    _, trainer = make_trainer(tmp_path, epochs=1)
    list(trainer.epochs(lambda: (float(rewriting_is_on()), {})))
    assert trainer.state.best_score == 1.0
    assert rewriting_is_on()


def test_repeatable_graphs_may_be_nested():
    with repeatable_graphs():
        with repeatable_graphs():
            assert not rewriting_is_on()
        assert not rewriting_is_on()
    assert rewriting_is_on()


def test_functions_of_many_trainings_are_no_warning(caplog):
    def add(x):
        return x + 1

    def subtract(x):
        return x - 1

    def trace(function):
        for _ in range(12):
            tf.function(function)(tf.constant(1))

    trace(add)
    assert any("retracing" in record.getMessage() for record in caplog.records)
    caplog.clear()
    with isolated("float32", 0):
        trace(subtract)
    assert not caplog.records
