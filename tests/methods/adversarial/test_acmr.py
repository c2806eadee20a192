import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.methods.adversarial.acmr import ACMR, ACMRConfig
from tfxmodal.training.settings import Settings

SIZES = {
    "image_hidden_units": (8,),
    "text_hidden_units": (7,),
    "embedding_dim": 4,
    "adversary_units": (5,),
}
PROJECTORS = ("image_network", "text_network")


def small(train=None, **config) -> ACMR:
    keras.utils.set_random_seed(0)
    return method_of(ACMR, train or make_pairs(), ACMRConfig(**SIZES | config))


def terms(method, pairs) -> dict:
    return method.loss_terms(batch_of(pairs), OneReplica())


def gradients(method, networks, weights) -> list[np.ndarray]:
    """By the variables of some networks, of a weighted sum of terms."""
    variables = [variable.value for variable in method.trainable_variables(*networks)]
    with tf.GradientTape() as tape:
        found = terms(method, make_pairs(16))
        total = tf.add_n([weight * found[name] for name, weight in weights.items()])
    return [np.array(each) for each in tape.gradient(total, variables)]


def of(method, *names):
    return [weight for name in names for weight in method.networks[name].get_weights()]


def test_defaults_are_the_sources():
    config, training = ACMRConfig(), Settings("acmr").training
    assert (config.image_hidden_units, config.text_hidden_units) == ((2000,), (500,))
    assert (config.embedding_dim, config.adversary_units) == (200, (50,))
    assert (training.learning_rate, training.batch_size, training.epochs) == (1e-4, 64, 50)
    (update,) = small().updates()
    assert update.optimizer(1e-4).get_config()["beta_1"] == 0.5
    expected = {"triplet": 64, "class": 100, "norms": 1, "adversary": 1}
    assert update.weights == expected


@pytest.mark.parametrize("as_released", [False, True])
def test_the_terms_are_the_objective(as_released):
    """Row by row, of pairs of one and of several classes."""
    method, pairs = small(as_released=as_released), make_pairs(12)
    features, y, codes = (pairs.images, pairs.texts), pairs.labels.astype(float), []
    for x, name in zip(features, PROJECTORS, strict=True):
        kernel, bias, last, last_bias = of(method, name)
        codes.append(np.tanh(np.tanh(x @ kernel + bias) @ last + last_bias))

    def squared(a, b):
        return np.sum((a - b) ** 2) / 2

    hinges, excess = [], np.zeros(2)
    for side, (x, own, other) in enumerate(zip(features, codes, reversed(codes), strict=True)):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        for i in range(12):
            wrong = [j for j in range(12) if not (y[i] * y[j]).any()]
            if wrong:
                n = max(wrong, key=lambda j, i=i, unit=unit: unit[i] @ unit[j])
                e = 5 * squared(own[i], other[i]) - squared(own[i], other[n])
                hinges.append(max(0, 0.1 + e))
                excess[side] += e
    triplet = sum(np.maximum(0, 0.1 + excess)) if as_released else sum(hinges)
    w, b = of(method, "classifier")
    classification = adversary = 0.0
    k1, b1, k2, b2 = of(method, "adversary")[-4:]
    for z, sign in zip(codes, (1, -1), strict=True):
        for i in range(12):
            logits = z[i] @ w + b
            log_p = logits - np.log(np.exp(logits).sum())
            classification -= y[i] / y[i].sum() @ log_p
            hidden = z[i] @ k1 + b1
            (s,) = (hidden if as_released else np.tanh(hidden)) @ k2 + b2
            adversary -= np.log(1 / (1 + np.exp(-sign * s)))
    expected = {"triplet": triplet / 12, "class": classification / 12, "adversary": adversary / 12}
    if not as_released:
        matrices = [weight for weight in of(method, *PROJECTORS) if weight.ndim == 2]
        expected["norms"] = sum(map(np.linalg.norm, matrices))
    found = {name: float(term) for name, term in terms(method, pairs).items()}
    assert found == pytest.approx(expected, rel=1e-5)
    assert triplet > 0 and set(method.weights) == set(expected)


def test_with_the_reversal_at_0_the_projectors_gradients_are_the_plain_losses():
    method = small()
    with_it = gradients(method, PROJECTORS, method.weights)
    plain = {name: weight for name, weight in method.weights.items() if name != "adversary"}
    for ours, theirs in zip(with_it, gradients(method, PROJECTORS, plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    without = small(adversary_weight=0.0)
    assert without.weights == plain and "adversary" not in without.networks


def test_the_reversed_gradient_makes_a_frozen_adversary_err_more():
    method, only = small(), {"adversary": 1.0}
    method._reversal.strength.assign(-1.0)  # The gradient itself.
    straight = gradients(method, PROJECTORS, only)
    judged = gradients(method, ["adversary"], only)
    method.begin_epoch(0.1)
    strength = 2 / (1 + np.exp(-1)) - 1
    turned = gradients(method, PROJECTORS, only)
    for ours, theirs in zip(turned, straight, strict=True):
        np.testing.assert_allclose(ours, -strength * theirs, rtol=1e-4, atol=1e-7)
    for ours, theirs in zip(gradients(method, ["adversary"], only), judged, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # Above the reversal nothing turns.
    before = float(terms(method, make_pairs(16))["adversary"])
    for variable, gradient in zip(method.trainable_variables(*PROJECTORS), turned, strict=True):
        variable.assign_sub(0.1 * gradient)
    assert float(terms(method, make_pairs(16))["adversary"]) > before


def test_an_adversarys_step_lowers_its_loss_and_leaves_the_encoders_bit_equal():
    """As in the first epoch, where l is 0."""
    off = dict.fromkeys(("triplet_weight", "class_weight", "regularization"), 0.0)
    method = small(**off)
    (update,) = method.updates()
    before = {name: of(method, name) for name in method.networks}
    told = float(terms(method, make_pairs(16))["adversary"])
    found = gradients(method, method.networks, update.weights)
    update.optimizer(0.01).apply(found, update.variables)
    assert float(terms(method, make_pairs(16))["adversary"]) < told
    for name, weights in before.items():
        same = [(a == b).all() for a, b in zip(of(method, name), weights, strict=True)]
        assert all(same) == (name != "adversary")


def test_l_rises_with_the_epochs_but_as_released():
    method, released = small(), small(as_released=True)
    for done in (0.0, 0.25, 0.9):
        method.begin_epoch(done)
        released.begin_epoch(done)
        expected = 2 / (1 + np.exp(-10 * done)) - 1
        assert float(method._reversal.strength.numpy()) == pytest.approx(expected)
        assert float(released._reversal.strength.numpy()) == 0


class Reversing(ACMR):
    """With a reversed gradient from the first epoch on."""

    def begin_epoch(self, done):
        super().begin_epoch(0.2)


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    weights = {"triplet_weight": 1.0, "class_weight": 1.0, "regularization": 0.1}
    sizes = SIZES | {"image_hidden_units": (), "text_hidden_units": ()}
    config = ACMRConfig(**sizes | weights)
    assert_two_replicas_train_as_one(Reversing, config, two_replicas, tmp_path)


def test_the_released_class_head_stays_as_it_began():
    assert not small(as_released=True).networks["classifier"].trainable_variables
    assert small().networks["classifier"].trainable_variables


@pytest.mark.parametrize("rows", [8, 1])
def test_a_batch_without_a_negative_has_no_triplet(rows):
    pairs = make_pairs(rows)
    pairs.labels[:] = 1
    found = terms(small(), pairs)
    assert float(found["triplet"]) == 0
    assert all(np.isfinite(term) for term in found.values())
