from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.losses.test_quadruplet import oracle as quadruplets
from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one, trained
from tests.methods.gradient.test_deep_sm import single
from tests.methods.gradient.test_drsl_end_to_end import make_towers, raw_pairs
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of, unpaired
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.fgcrossnet import FGCrossNet, FGCrossNetConfig
from tfxmodal.methods.spec import inputs_of

SIZES = {"first_units": 8, "hidden_units": (7,), "centre_epochs": 2, "quadruplets": 3}


def posteriors(method, train, exclusive):
    """Logits and unit posteriors of images and texts, from the weights, in float64."""
    trunk, found = (
        [w.numpy().astype(float) for w in method.networks["image_classifier"].weights],
        [],
    )
    for kind, features in (("image", train.images), ("text", train.texts)):
        of_kind = method.networks[f"{kind}_classifier"].weights
        w, b, *_ = (each.numpy().astype(float) for each in of_kind)
        hidden = np.maximum(features @ w + b, 0)
        hidden = np.maximum(hidden @ trunk[2] + trunk[3], 0)
        s = hidden @ trunk[4] + trunk[5]
        p = np.exp(s) / np.exp(s).sum(1, keepdims=True) if exclusive else 1 / (1 + np.exp(-s))
        found.append((s, p))
    return found


@pytest.mark.parametrize("make", [single, make_pairs], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("as_released", [False, True])
def test_terms_and_score_are_those_of_one_trunk(make, as_released):
    train, exclusive = make(16), make is single
    method = method_of(FGCrossNet, train, FGCrossNetConfig(**SIZES, as_released=as_released))
    found = posteriors(method, train, exclusive)
    terms, y = {}, train.labels.astype(float)
    for kind, (_, p) in zip(("image", "text"), found, strict=True):
        if exclusive:
            terms[f"{kind}_classification"] = -np.mean(np.log(p[y == 1]))
        else:
            cross_entropy = y * np.log(p) + (1 - y) * np.log(1 - p)
            terms[f"{kind}_classification"] = -np.mean(cross_entropy.sum(axis=1))
    points, labels = np.concatenate([s for s, _ in found]), np.concatenate([y, y])
    (centres,) = method.networks["centres"].get_weights()
    of_points = [np.mean([centres[c] for c in np.flatnonzero(row)], axis=0) for row in labels]
    squares = np.mean(np.sum((points - of_points) ** 2, axis=1))
    terms |= {"centre": squares, "centres": squares}
    terms["quadruplet"] = quadruplets(points, labels, 3, one_hinge=as_released)
    ours = method.loss_terms(batch_of(train), OneReplica())
    assert {name: float(term) for name, term in ours.items()} == pytest.approx(terms, rel=1e-4)
    u, v = (p / np.linalg.norm(p, axis=1, keepdims=True) for _, p in found)
    scorer = method.scorer()
    scores = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
    np.testing.assert_allclose(scores, u @ v.T, atol=1e-5)


def test_without_centres_and_quadruplets_it_is_a_classifier():
    """And the centres learn at their own rate whatever the weight."""
    train = single(16)
    config = FGCrossNetConfig(**SIZES, centre_weight=0.0, quadruplet_weight=0.0)
    method = method_of(FGCrossNet, train, config)
    _, (update,) = (stage.updates for stage in method.stages())
    with tf.GradientTape(persistent=True) as tape:
        terms = update.losses(batch_of(train), OneReplica())
        total = tf.add_n([weight * terms[name] for name, weight in update.weights.items()])
        plain = terms["image_classification"] + terms["text_classification"]
        centres = terms["centres"]
    (own,) = method.networks["centres"].trainable_variables
    for variable in update.variables:
        expected = tape.gradient(centres if variable is own else plain, variable)
        np.testing.assert_allclose(tape.gradient(total, variable), expected, atol=1e-6)
        assert np.abs(expected).max() > 0


def test_the_stages_are_those_of_the_released_code():
    one, two = method_of(FGCrossNet, make_pairs(), FGCrossNetConfig(**SIZES)).stages()
    assert (one.epochs, two.epochs) == (2, None)
    first, second = one.updates[0].weights, two.updates[0].weights
    assert second == first | {"quadruplet": 0.1} and first["centre"] == 1e-3
    assert one.updates[0].optimizer(0.1).momentum == 0.9


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    config = FGCrossNetConfig(**SIZES, centre_weight=0.1, quadruplet_weight=1.0)
    assert_two_replicas_train_as_one(FGCrossNet, config, two_replicas, tmp_path)


def test_unpaired_sets_are_trained_on(tmp_path):
    train = unpaired()
    METHODS["fgcrossnet"].check(train)
    _, _, (report,) = trained(FGCrossNet, FGCrossNetConfig(**SIZES), tmp_path, train=train)
    assert np.isfinite(report.losses["total"]) and report.losses["quadruplet"] > 0


def test_one_class_scores_all_alike():
    train = make_pairs(8)
    train = replace(train, labels=np.ones((8, 1), np.uint8))
    method = method_of(FGCrossNet, train, FGCrossNetConfig(**SIZES))
    assert float(method.loss_terms(batch_of(train), OneReplica())["quadruplet"]) == 0
    scorer = method.scorer()
    scores = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
    np.testing.assert_allclose(scores, 1, rtol=1e-6)


def test_end_to_end_the_loss_reaches_the_encoders():
    train, towers = raw_pairs(12), make_towers()
    config = FGCrossNetConfig(**SIZES, end_to_end=True, image_scaling="unit")
    method = method_of(FGCrossNet, train, config, kinds=inputs_of(config), networks=towers)
    features = towers["image"](train.images.astype(np.float32)).numpy()
    scaling = next(v for v in method.networks["image_encoder"].variables if "scale" in v.path)
    np.testing.assert_allclose(scaling, np.mean(features**2) ** -0.5, rtol=1e-4)
    first = [
        next(w for w in method.trainable_variables() if name in w.path)
        for name in ("convolution/kernel", "vectors/embeddings")
    ]
    with tf.GradientTape() as tape:
        loss = method.loss_terms(batch_of(train), OneReplica())["quadruplet"]
    for gradient in tape.gradient(loss, [variable.value for variable in first]):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0
