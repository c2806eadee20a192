from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.methods.gradient.test_drsl import columns
from tests.training.test_loop import float64, same_score
from tests.training.tiny import OneReplica, make_pairs, method_of, weights
from tfxmodal.errors import InputError
from tfxmodal.losses.balanced_spectrum import balanced_spectrum, similarity_graph
from tfxmodal.methods.few_labels import with_few_labels
from tfxmodal.methods.gradient.smln import SMLN, SMLNConfig
from tfxmodal.methods.learner import Update
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy


class BySGD(SMLN):
    """Adam would hide a gradient of twice the size."""

    def updates(self):
        variables, optimizer = self.trainable_variables(), keras.optimizers.SGD
        return [Update("all", self.loss_terms, self.weights, variables, optimizer)]


def small(method_class=SMLN, **config) -> SMLN:
    keras.utils.set_random_seed(0)
    return method_of(method_class, make_pairs(), SMLNConfig(**{"hidden_units": (8,)} | config))


def few_labels():
    return with_few_labels(make_pairs(), SMLNConfig(labelled_fraction=0.3), 0)


def test_the_loss_is_that_of_both_modalities_points():
    method = small()
    batch = columns(few_labels(), slice(0, 16), "images", "texts", "labels")
    (value,) = method.loss_terms({"pairs": batch}, OneReplica()).values()
    images, texts = (
        method.scorer().embed_images(batch["images"]),
        method.scorer().embed_texts(batch["texts"]),
    )
    graph = similarity_graph(batch["images"], batch["texts"], batch["labels"], 5)
    points = tf.concat([images, texts], axis=0)
    assert points.shape == [32, 3]  # As many dimensions as classes.
    assert float(value) == pytest.approx(float(balanced_spectrum(points, graph, 1e-3)), rel=1e-4)


def test_two_replicas_equal_one_in_float64(two_replicas, tmp_path):
    found = []
    with float64():
        for strategy in (make_strategy(["CPU:0"]), two_replicas):
            with strategy.scope():
                method = small(BySGD, hidden_units=())
                config = TrainingConfig(epochs=1, batch_size=16, learning_rate=0.05)
                folder = tmp_path / str(len(found))
                trainer = Trainer(method, few_labels(), config, strategy, folder)
            start = weights(method)
            found.append((start, list(trainer.epochs(same_score)), weights(method)))
    (start, reports, ours), (_, others, theirs) = found
    for one, two in zip(reports, others, strict=True):
        assert one.losses == pytest.approx(two.losses, rel=1e-9)
        assert one.gradient_norms == pytest.approx(two.gradient_norms, rel=1e-7)
    for before, a, b in zip(start, ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
        assert a.ndim == 1 or np.abs(a - before).max() > 1e-4


def test_every_pair_is_drawn_with_a_label_or_without():
    train = few_labels()
    assert not train.labels.any(axis=1).all()
    np.testing.assert_array_equal(small().streams(train, 0)["pairs"], np.arange(64))


@pytest.mark.parametrize(
    ("config", "least"),
    [({"embedding_dim": 20}, 11), ({"embedding_dim": 4}, 6), ({"neighbours": 12}, 13)],
)
def test_a_batch_that_is_too_small_is_refused(config, least, tmp_path):
    method = small(**config)
    method.check_batch(least)
    training = TrainingConfig(batch_size=least - 1)
    told = f"`batch_size` must be at least {least} for .* of {least - 1} pairs: raise it"
    with pytest.raises(InputError, match=told):
        Trainer(method, make_pairs(), training, make_strategy(["CPU:0"]), tmp_path)


@pytest.mark.parametrize("what", ["no label", "one class", "rows alike"])
def test_odd_batches_give_a_finite_loss_and_gradient(what):
    pairs = make_pairs(12)
    if what == "rows alike":
        pairs = replace(pairs, images=0 * pairs.images, texts=0 * pairs.texts)
    else:
        pairs.labels[:] = 0
        pairs.labels[:, 1] = what == "one class"
    method = small()
    with tf.GradientTape() as tape:
        batch = columns(pairs, slice(None), "images", "texts", "labels")
        (loss,) = method.loss_terms({"pairs": batch}, OneReplica()).values()
    gradients = tape.gradient(loss, [v.value for v in method.trainable_variables()])
    assert np.isfinite(loss) and all(np.isfinite(each).all() for each in gradients)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_units": (8, 0)},
        {"embedding_dim": 0},
        {"neighbours": 0},
        {"ridge": 0.0},
        {"labelled_fraction": 1.5},
    ],
)
def test_a_value_out_of_range_is_refused(config):
    (name,) = config
    with pytest.raises(InputError, match=f"`{name}` must be .*received"):
        SMLNConfig(**config)
