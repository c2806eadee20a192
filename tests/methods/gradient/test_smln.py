from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_loop import float64
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of, weights
from tfxmodal.errors import InputError
from tfxmodal.losses.balanced_spectrum import balanced_spectrum, similarity_graph, spectral_map
from tfxmodal.methods.few_labels import with_few_labels
from tfxmodal.methods.gradient import smln
from tfxmodal.methods.gradient.smln import SMLN, SMLNConfig
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import Replicas, make_strategy


def small(**config) -> SMLN:
    keras.utils.set_random_seed(0)
    return method_of(SMLN, make_pairs(), SMLNConfig(**{"hidden_units": (8,)} | config))


def few_labels():
    return with_few_labels(make_pairs(), SMLNConfig(labelled_fraction=0.3), 0)


def points_of(method, images, texts):
    """Both networks' outputs, those for the images first."""
    both = method.networks["image_network"](images), method.networks["text_network"](texts)
    return tf.concat(both, axis=0)


def scores(method, pairs):
    scorer = method.scorer()
    return scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))


def test_the_loss_is_that_of_both_modalities_points():
    method = small()
    batch = batch_of(few_labels(), slice(0, 16))["pairs"]
    (value,) = method.loss_terms({"pairs": batch}, OneReplica()).values()
    graph = similarity_graph(batch["images"], batch["texts"], batch["labels"], 5)
    points = points_of(method, batch["images"], batch["texts"])
    assert points.shape == [32, 3]  # As many dimensions as classes.
    assert float(value) == pytest.approx(float(balanced_spectrum(points, graph, 1e-3)), rel=1e-4)


def test_an_invertible_map_of_the_outputs_changes_no_score():
    method, train = small(ridge=1e-9), few_labels()
    method.settle(train)
    before = scores(method, make_pairs(9, seed=1))
    change = np.random.default_rng(0).normal(size=(3, 3))
    for kind in ("image", "text"):
        kernel, bias = method.networks[f"{kind}_network"].trainable_variables[-2:]
        kernel.assign(kernel @ change)
        bias.assign(bias @ change + 1)
    assert np.abs(scores(method, make_pairs(9, seed=1)) - before).max() > 0.1
    method.settle(train)
    np.testing.assert_allclose(scores(method, make_pairs(9, seed=1)), before, atol=1e-3)


@pytest.mark.parametrize("sample", [2000, 16, 2])
def test_the_last_map_is_fitted_to_pairs_taken_evenly_and_not_trained(sample, monkeypatch):
    monkeypatch.setattr(smln, "SAMPLE", sample)
    method, train = small(), few_labels()
    assert len(method.trainable_variables()) == 8
    method.settle(train)
    assert len(method.trainable_variables()) == 8
    number = {2000: 64, 16: 16, 2: 6}[sample]  # A point has 5 neighbours.
    rows = np.linspace(0, 63, number).astype(int)
    images, texts, labels = train.images[rows], train.texts[rows], np.float32(train.labels[rows])
    graph = similarity_graph(images, texts, labels, 5)
    mean, directions = map(np.asarray, spectral_map(points_of(method, images, texts), graph, 1e-3))
    test = make_pairs(9, seed=1)
    codes = (points_of(method, test.images, test.texts).numpy() - mean) @ directions
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    np.testing.assert_allclose(scores(method, test), codes[:9] @ codes[9:].T, atol=1e-4)


def after_a_step(strategy) -> tuple[list, list[np.ndarray]]:
    """Each replica's loss on 16 pairs, and the weights after a step of SGD."""
    columns = batch_of(few_labels(), slice(0, 16))["pairs"]
    batch = {name: tf.cast(column, tf.float64) for name, column in columns.items()}
    with strategy.scope():
        method = small(hidden_units=())
        variables = method.trainable_variables()
        optimizer = keras.optimizers.SGD(0.5)
        optimizer.build(variables)

    @tf.function
    def step():
        def replica():
            replicas, context = Replicas(), tf.distribute.get_replica_context()
            size = 16 // replicas.count
            first = size * context.replica_id_in_sync_group
            own = {name: column[first : first + size] for name, column in batch.items()}
            with tf.GradientTape() as tape:
                (loss,) = method.loss_terms({"pairs": own}, replicas).values()
                share = loss / replicas.count
            optimizer.apply(tape.gradient(share, variables), variables)
            return loss

        return strategy.run(replica)

    losses = strategy.experimental_local_results(step())
    return [float(loss) for loss in losses], weights(method)


def test_two_replicas_equal_one_in_float64(two_replicas):
    """With SGD: Adam would hide a gradient of twice the size."""
    with float64():
        start = weights(small(hidden_units=()))
        (whole,), ours = after_a_step(make_strategy("CPU:0"))
        losses, theirs = after_a_step(two_replicas)
    assert losses == pytest.approx([whole, whole], rel=1e-10)
    for before, a, b in zip(start, ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
        assert a.ndim == 1 or np.abs(a - before).max() > 1e-3


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
        Trainer(method, make_pairs(), training, make_strategy("CPU:0"), tmp_path)


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
        (loss,) = method.loss_terms(batch_of(pairs), OneReplica()).values()
    gradients = tape.gradient(loss, [v.value for v in method.trainable_variables()])
    assert np.isfinite(loss) and all(np.isfinite(each).all() for each in gradients)
