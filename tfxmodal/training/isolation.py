"""State of the whole process that a training needs, set for a while and then put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tfxmodal.lazy import keras, tf


@contextmanager
def repeatable_graphs() -> Iterator[None]:
    """Compiled functions that run inside give the same bits in every run.

    One of TensorFlow's graph rewritings sums gradients in an order that changes from run to run, in
    one run of ten at full size. Without it, which costs no time, a resumed run is bit-equal.
    """
    name, options = "arithmetic_optimization", tf.config.optimizer
    before = options.get_experimental_options().get(name, True)  # Not set means on.
    options.set_experimental_options({name: False})
    try:
        yield
    finally:
        options.set_experimental_options({name: before})


@contextmanager
def isolated(precision: str, seed: int) -> Iterator[None]:
    """An experiment inside does not hang on what ran before, and leaves no trace behind.

    Within it, Keras' dtype policy is `precision`, the random seeds of Python, NumPy, TensorFlow and
    Keras are `seed`, and compiled functions are repeatable. After it, all are as they were before;
    only TensorFlow's unseeded operations begin their random numbers again.

    Args:
        precision: A Keras dtype policy, as in `TrainingConfig.precision`.
        seed: As in `TrainingConfig.seed`.
    """
    policy = keras.config.dtype_policy()
    with repeatable_graphs(), _seeds_put_back(), _unwarned():
        keras.config.set_dtype_policy(precision)
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(policy)


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keeps back the warning of functions that are traced often: each training has its own."""
    logger = tf.get_logger()

    def passes(record) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger.addFilter(passes)
    try:
        yield
    finally:
        logger.removeFilter(passes)


@contextmanager
def _seeds_put_back() -> Iterator[None]:
    """Puts back all that `keras.utils.set_random_seed` sets."""
    # Neither library tells its global seed by its public names.
    from keras.src.backend.common import global_state
    from tensorflow.python.eager import context

    in_keras = ("global_random_seed", "global_seed_generator")
    python, in_numpy, in_tensorflow = (
        random.getstate(),
        np.random.get_state(),
        context.global_seed(),
    )
    values = [global_state.get_global_attribute(name) for name in in_keras]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(in_numpy)
        tf.random.set_seed(in_tensorflow)
        for name, value in zip(in_keras, values, strict=True):
            global_state.set_global_attribute(name, value)
