from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.encoders.image.tiny import tiny_encoder
from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one
from tests.methods.gradient.test_drsl_end_to_end import make_towers, raw_pairs
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods.gradient import dual_path
from tfxmodal.methods.gradient.dual_path import (
    DualPath,
    DualPathConfig,
    decided,
    nesterov,
    numbered,
)

SIZES = {"hidden_units": (8,), "embedding_dim": 6, "dropout": 0.0, "instance_epochs": 1}


def repeated(n: int = 64):
    """Pairs of which every third one repeats the image of the pair before it."""
    pairs, rows = make_pairs(n), np.arange(n)
    ids = 1000 - np.where(rows % 3 == 2, rows - 1, rows)
    owners = np.where(rows % 3 == 2, rows - 1, rows)
    return replace(pairs, images=pairs.images[owners], labels=pairs.labels[owners], image_ids=ids)


def made(train=None, **config) -> tuple[DualPath, object]:
    """A method, and its training pairs as it sees them."""
    keras.utils.set_random_seed(0)
    train = train or make_pairs()
    config, _ = decided(DualPathConfig(**SIZES | config), train, DataConfig())
    return method_of(DualPath, train, config), numbered(train, config, 0)


@pytest.mark.parametrize("classes", ["auto", 10])
def test_terms_are_those_of_the_embeddings_of_both_paths(classes):
    method, train = made(repeated(12), instance_classes=classes, margin=0.5)
    terms = method.loss_terms(batch_of(train), OneReplica())
    u, v = (
        method.networks[f"{kind}_path"](rows, training=True).numpy().astype(float)
        for kind, rows in (("image", train.images), ("text", train.texts))
    )
    assert u.min() == v.min() == 0  # Behind a ReLU.
    (shared,) = method.networks["instances"].get_weights()
    assert shared.shape == (6, 8 if classes == "auto" else 10)
    expected = {"ranking": 0.0}
    for kind, embeddings in (("image", u), ("text", v)):
        logits = embeddings @ shared
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        own = log_p[np.arange(12), train.image_ids]
        expected[f"{kind}_instance"] = -own.mean()
    u, v = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (u, v))
    for i in range(12):
        wrong = train.image_ids != train.image_ids[i]
        for hinges in (u[i] @ v[wrong].T, v[i] @ u[wrong].T):
            expected["ranking"] += max(0, 0.5 - u[i] @ v[i] + hinges.max()) / 12
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


def test_images_share_the_classes_that_there_are():
    """As many classes as images, or more, leave each its own."""
    method, train = made(instance_classes=10)
    (weights,) = method.networks["instances"].get_weights()
    u = method.networks["image_path"](train.images, training=True)
    log_p = tf.nn.log_softmax(u @ weights).numpy()
    found = method.instance_terms(batch_of(train), OneReplica())["image_instance"]
    rows = np.arange(64)
    assert float(found) == pytest.approx(-log_p[rows, rows % 10].mean(), rel=1e-5)


def test_at_the_start_no_class_is_known():
    method, train = made()
    terms = method.instance_terms(batch_of(train), OneReplica())
    assert [float(term) for term in terms.values()] == pytest.approx([np.log(64)] * 2, rel=0.1)


def test_captions_of_one_image_are_one_class():
    _, train = made(repeated(9))
    np.testing.assert_array_equal(np.diff(train.image_ids) == 0, np.arange(1, 9) % 3 == 2)
    assert sorted(set(train.image_ids)) == list(range(6))


def test_the_classes_are_decided_by_the_images(monkeypatch):
    assert decided(DualPathConfig(), repeated(9), DataConfig()) == (
        DualPathConfig(instance_classes=6),
        None,
    )
    chosen = DualPathConfig(instance_classes=4)
    assert decided(chosen, repeated(9), DataConfig()) == (chosen, None)
    monkeypatch.setattr(dual_path, "MOST_CLASSES", 5)
    config, told = decided(DualPathConfig(), repeated(9), DataConfig())
    assert config.instance_classes == 5 and told.startswith("6 training images share 5 instance")
    assert told.endswith("`instance_classes` 6.")


def test_the_stages_are_those_of_the_paper():
    one, two = made(instance_epochs=7)[0].stages()
    assert (one.epochs, two.epochs) == (7, None)
    assert one.updates[0].weights == {"image_instance": 1, "text_instance": 1}
    assert two.updates[0].weights == {"ranking": 1, "image_instance": 1, "text_instance": 0.1}
    optimizer = two.updates[0].optimizer(0.1)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)


@pytest.mark.parametrize("as_released", [False, True])
def test_the_released_test_compares_what_is_before_the_last_relu(as_released):
    method, train = made(as_released=as_released)
    units = method.scorer().embed_images(train.images)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, rtol=1e-5)
    assert (units.min() < 0) == as_released
    path = method.networks["image_path"](train.images, training=False).numpy()
    positive = np.maximum(units, 0)
    norms = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (path, positive)]
    np.testing.assert_allclose(path / norms[0], positive / norms[1], atol=1e-5)


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    train = numbered(repeated(), None, 0)
    config = DualPathConfig(**SIZES | {"hidden_units": ()}, instance_classes=43)
    assert_two_replicas_train_as_one(DualPath, config, two_replicas, tmp_path, train)


def test_two_pairs_are_learned():
    """Each pair comes to its own class, and its two embeddings to each other."""
    method, train = made(make_pairs(2))
    variables, optimizer = method.trainable_variables(), nesterov(0.1)
    optimizer.build(variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(method.instance_terms(batch_of(train), OneReplica()).values()))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    losses = [float(step()) for _ in range(60)]
    assert losses[0] > 1 and losses[-1] < 0.05
    u, v = method.embed(batch_of(train)["pairs"], "path")
    cosines = tf.matmul(*(tf.math.l2_normalize(each, 1) for each in (u, v)), transpose_b=True)
    assert np.diagonal(cosines).min() > 0.2 + cosines.numpy()[[0, 1], [1, 0]].max()


def test_end_to_end_the_image_encoder_waits_and_then_moves_little():
    train = numbered(raw_pairs(16), None, 0)

    def gradients(rate):
        """By image encoder and others, those of stage II; and the variables of stage I."""
        networks = make_towers()
        config = DualPathConfig(**SIZES, instance_classes=16, end_to_end=True, image_rate=rate)
        kinds = dual_path.SPEC.inputs(config)
        method = method_of(DualPath, train, config, kinds=kinds, networks=networks)
        (one,), (two,) = (stage.updates for stage in method.stages())
        known = {id(variable) for variable in networks["image"].trainable_variables}
        assert not known & {id(variable) for variable in one.variables}
        assert len(one.variables) + len(known) == len(two.variables)
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(two.losses(batch_of(train), OneReplica()).values()))
        found = tape.gradient(loss, two.variables)
        optimizer = two.optimizer(0.1)
        optimizer.weight_decay = 0.1
        optimizer.build(two.variables)
        before = [variable.numpy() for variable in two.variables]
        optimizer.apply([tf.zeros_like(variable) for variable in two.variables])
        decayed = [np.any(v.numpy() != old) for v, old in zip(two.variables, before, strict=True)]
        return [
            (id(variable) in known, tf.convert_to_tensor(gradient), moved)
            for variable, gradient, moved in zip(two.variables, found, decayed, strict=True)
        ]

    for (ours, whole, _), (_, part, decayed) in zip(gradients(1.0), gradients(0.01), strict=True):
        expected = whole * (0.01 if ours else 1)
        np.testing.assert_allclose(part, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        assert not (ours and decayed)


def test_in_stage_one_the_image_encoder_is_as_in_use():
    """Its batch normalisation reads the moving statistics, and leaves them as they are."""
    encoder, train = tiny_encoder(normalised=True).model, numbered(raw_pairs(16), None, 0)
    networks = make_towers() | {"image": encoder}
    config = DualPathConfig(**SIZES, instance_classes=16, end_to_end=True)
    kinds = dual_path.SPEC.inputs(config)
    method = method_of(DualPath, train, config, kinds=kinds, networks=networks)
    before = [variable.numpy() for variable in encoder.non_trainable_variables]
    for stage, waits in zip(method.stages(), (True, False), strict=True):
        stage.updates[0].losses(batch_of(train), OneReplica())
        after = [variable.numpy() for variable in encoder.non_trainable_variables]
        assert [np.array_equal(*each) for each in zip(before, after, strict=True)] == 2 * [waits]
