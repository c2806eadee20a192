"""A run small enough for a test: a method of a few units on made-up pairs."""

import json
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from tfxmodal.data.pairs import Pairs
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.drsl import DRSL, DRSLConfig
from tfxmodal.methods.gradient.scl import SCL, SCLConfig
from tfxmodal.methods.learner import Method
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy

SMALL = {
    "scl": {"hidden_units": 8, "embedding_dim": 4, "alpha": 0.0, "dropout": 0.2},
    "drsl": {"hidden_units": (8,), "feature_dim": 4, "relation_units": 8},
    "deep_sm": {"hidden_units": (8,)},
    "mrl": {"hidden_units": (8,), "embedding_dim": 4},
    "fgcrossnet": {"first_units": 8, "hidden_units": (8,), "centre_epochs": 2},
    "mcsm": {"image_units": 6, "text_units": 6, "embedding_dim": 4},
    "dual_path": {"hidden_units": (8,), "embedding_dim": 4, "instance_epochs": 2},
    "mcca": {"shrinkage": 0.5},
    "mvda": {"ridge": 0.01},
    "kcca": {"ridge": 0.01},
    "mvda_vc": {"ridge": 0.01, "consistency": 0.01},
    "smln": {"hidden_units": (8,)},
    "dscmr": {"hidden_units": 8, "embedding_dim": 4},
    "acmr": {"image_hidden_units": (8,), "text_hidden_units": (8,), "embedding_dim": 4},
    "cm_gans": {"hidden_units": 8, "embedding_dim": 4, "critic_units": 4, "generator_steps": 1},
    **dict.fromkeys(("sdml", "dcca", "dccae"), {"hidden_units": (8,), "embedding_dim": 4}),
}
STAGED = {"image_units": (5, 4), "text_units": (4, 3), "hidden_units": (4,), "stage_epochs": 1}
SMALL |= {
    "cmdn": STAGED | {"autoencoder_units": (4,), "joint_units": 6, "shared_units": (4,)},
    "ccl": STAGED | {"grain_units": 4, "joined_units": 6, "embedding_dim": 4},
}
"""By method the fields of its config that make it small."""


def make_pairs(n: int = 64, seed: int = 0) -> Pairs:
    """Pairs of one or several of three classes, which both modalities show under noise."""
    labels = np.random.default_rng(seed).random((n, 3)) < 0.4
    labels[np.arange(n), np.arange(n) % 3] = True
    look = np.random.default_rng(99)
    to_image, to_text = look.normal(size=(3, 6)), look.normal(size=(3, 5))
    noise = np.random.default_rng([seed, 1])
    images = labels @ to_image + 0.3 * noise.normal(size=(n, 6))
    texts = labels @ to_text + 0.3 * noise.normal(size=(n, 5))
    ids = np.array([f"pair {row}" for row in range(n)])
    return Pairs(ids, images.astype("float32"), texts.astype("float32"), labels.astype("uint8"))


def unpaired() -> Pairs:
    """A set of 40 images and a larger one of 64 texts, of the same classes."""
    pairs = make_pairs()
    return replace(pairs.take(np.arange(40)), texts=pairs.texts, text_labels=pairs.labels)


def batch_of(pairs: Pairs, rows=slice(None)) -> dict[str, dict[str, tf.Tensor]]:
    """Some pairs as one batch."""
    given = {name: getattr(pairs, name) for name in ("images", "texts", "image_ids")}
    columns = {name: tf.constant(each[rows]) for name, each in given.items() if each is not None}
    return {"pairs": columns | {"labels": tf.constant(pairs.labels[rows], tf.float32)}}


def make_trainer(
    folder, strategy=None, train=None, scl=None, drsl=None, **training
) -> tuple[Method, Trainer]:
    """A method and its trainer: SCL, or DRSL where `drsl` gives its fields.

    MI, which is slow to compile, is left out unless asked for.
    """
    keras.utils.set_random_seed(0)
    strategy = strategy or make_strategy("CPU:0")
    train = train or make_pairs()
    training = TrainingConfig(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.01} | training)
    with strategy.scope():
        if drsl is None:
            sizes = {"hidden_units": 16, "embedding_dim": 8, "alpha": 0.0}
            method = method_of(SCL, train, SCLConfig(**sizes | (scl or {})))
        else:
            sizes = {"hidden_units": (16,), "feature_dim": 8, "relation_units": 16}
            method = method_of(DRSL, train, DRSLConfig(**sizes | drsl))
        return method, Trainer(method, train, training, strategy, folder)


def with_sgd(method_class, config, folder, strategy=None, train=None, **training):
    """A method and its trainer for its last stage, by SGD: Adam hides a doubled gradient."""
    keras.utils.set_random_seed(0)
    strategy = strategy or make_strategy("CPU:0")
    train = train or make_pairs()
    training = TrainingConfig(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.05} | training)
    with strategy.scope():
        method = method_of(method_class, train, config)
        last = method.stages()[-1]
        updates = [replace(each, optimizer=keras.optimizers.SGD) for each in last.updates]
        method.stages = lambda: [replace(last, updates=updates)]
        return method, Trainer(method, train, training, strategy, folder)


def method_of(method_class, train: Pairs, config, **inputs) -> Method:
    """A method for training pairs, adapted to them."""
    method = method_class(MethodInputs.of(train, **inputs), config)
    method.adapt(train, train)
    return method


def small_method(name: str, train: Pairs, **fields) -> Method:
    """A small method of the registry, adapted to training pairs."""
    spec = METHODS[name]
    config, _ = spec.decide(spec.config(**SMALL[name] | fields), train, DataConfig())
    return method_of(spec.learner, train, config)


class OneReplica:
    """What a method asks of its replicas, where there is one."""

    count = 1

    def gather(self, rows):
        return rows

    def offset(self, rows):
        return 0


def weights(method) -> list[np.ndarray]:
    """The trainable weights as they are."""
    return [variable.numpy() for variable in method.trainable_variables()]


def checkpoint_tensors(folder) -> dict[str, np.ndarray]:
    """All that the newest checkpoint of a folder holds, but for its number and the clock."""
    reader = tf.train.load_checkpoint(folder)
    names = reader.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    tensors = {
        name: reader.get_tensor(name) for name in names if not name.startswith("save_counter/")
    }
    state = "state/.ATTRIBUTES/py_state"
    if state in tensors:
        fields = json.loads(tensors.pop(state))
        timed = ("seconds", "pairs")
        tensors |= {f"state/{name}": fields[name] for name in fields if name not in timed}
    return tensors


def assert_bit_equal(ours: dict, theirs: dict):
    """Asserts that two results of `checkpoint_tensors` are the same."""
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
