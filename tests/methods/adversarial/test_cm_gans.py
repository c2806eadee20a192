import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of, weights
from tfxmodal.methods.adversarial.cm_gans import CMGANs, CMGANsConfig
from tfxmodal.training.replicas import Replicas
from tfxmodal.training.settings import Settings

SIZES = {"hidden_units": 8, "embedding_dim": 4, "critic_units": 5}
KINDS = ("image", "text")


def small(train=None, **config) -> CMGANs:
    keras.utils.set_random_seed(0)
    return method_of(CMGANs, train or make_pairs(), CMGANsConfig(**SIZES | config))


def step(update, rows, variables=None, rate=0.05):
    """One step of plain gradient descent; returns the update's loss before it."""
    variables = update.variables if variables is None else variables
    with tf.GradientTape() as tape:
        total = tf.add_n(list(update.losses(rows, OneReplica()).values()))
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        variable.assign_sub(rate * gradient)
    return float(total)


def of(method, *names):
    return [
        w for k in KINDS for name in names for w in method.networks[f"{k}_{name}"].get_weights()
    ]


def test_defaults_are_the_released_codes():
    config, training = CMGANsConfig(), Settings("cm_gans").training
    assert (config.hidden_units, config.embedding_dim, config.critic_units) == (1024, 1024, 512)
    assert (config.generator_steps, config.as_released) == (5, False)
    assert (training.learning_rate, training.batch_size, training.epochs) == (1e-3, 64, 100)
    discriminators, generators = small().updates()
    assert (discriminators.times, generators.times) == (1, 5)
    for update in (discriminators, generators):
        assert update.optimizer(1e-3).get_config()["beta_1"] == 0.5
        assert set(update.weights.values()) == {1}


def leaky(rows):
    return np.where(rows > 0, rows, 0.2 * rows)


def normalised(rows, gamma, beta):
    return gamma * (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-5) + beta


@pytest.mark.parametrize("as_released", [False, True])
def test_the_terms_are_the_objective(as_released):
    """Of pairs of one and of several classes."""
    method, pairs = small(as_released=as_released), make_pairs(12)
    y = pairs.labels.astype(float)

    def trained(name):
        return [w.numpy().astype(float) for w in method.networks[name].trainable_variables]

    def judge(name, *rows):
        rows, weights = np.concatenate(rows, axis=1), trained(name)
        if len(weights) == 6:
            k, b, *norm = weights[:4]
            rows = leaky(normalised(rows @ k + b, *norm))
        return (rows @ weights[-2] + weights[-1])[:, 0]

    def bce(logits, real):
        p = 1 / (1 + np.exp(-logits))
        return -np.log(p if real else 1 - p)

    codes, decoded, x = {}, {}, {"image": pairs.images, "text": pairs.texts}
    for kind in KINDS:
        k1, b1, g1, s1, k2, b2, g2, s2, k3, b3, k4, b4 = trained(f"{kind}_generator")
        codes[kind] = leaky(
            normalised(leaky(normalised(x[kind] @ k1 + b1, g1, s1)) @ k2 + b2, g2, s2)
        )
        decoded[kind] = leaky(codes[kind] @ k3 + b3) @ k4 + b4

    others, there = [], []
    for i in range(12):
        following = [(i + j) % 12 for j in range(1, 12)]
        wrong = [j for j in following if not (y[i] * y[j]).any()]
        others.append(wrong[0] if wrong else 0)
        there.append(bool(wrong))
    assert not all(there)
    expected = dict.fromkeys(("intra", "inter", "intra_fooled", "inter_fooled", "class"), 0.0)
    for kind, other in (KINDS, KINDS[::-1]):
        u, v, intra, inter = codes[kind], codes[other], f"{kind}_intra", f"{kind}_inter"
        expected["intra"] += np.mean(
            bce(judge(intra, x[kind]), True) + bce(judge(intra, decoded[kind]), False)
        )
        beside = x[kind][others] if as_released else x[kind]
        expected["inter"] += np.mean(
            bce(judge(inter, u, x[kind]), True)
            + bce(judge(inter, v, x[kind]), False) / 2
            + there * bce(judge(inter, u[others], beside), False) / 2
        )
        expected["intra_fooled"] += np.mean(bce(judge(intra, decoded[kind]), True))
        expected["inter_fooled"] += np.mean(bce(judge(f"{other}_inter", u, x[other]), True))
        k, b = trained(f"{kind}_classifier")
        logits = u @ k + b
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected["class"] -= np.mean(np.sum(y / y.sum(axis=1, keepdims=True) * log_p, axis=1))
    found = {}
    for update in method.updates():
        terms = update.losses(batch_of(pairs), OneReplica())
        found |= {name: float(terms[name]) for name in update.weights}
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_second_layer_is_one_variable_at_which_the_gradients_add_up():
    method, rows = small(), batch_of(make_pairs(16))
    image, text = (method.networks[f"{kind}_encoder"].trainable_variables for kind in KINDS)
    assert [a is b for a, b in zip(image, text, strict=True)] == [False] * 4 + [True] * 2 + [
        False
    ] * 2
    with tf.GradientTape(persistent=True) as tape:
        codes = (codes for codes, *_ in method.embed(rows["pairs"], "generator"))
        squares = [tf.reduce_sum(each**2) for each in codes]
        both = tf.add_n(squares)
    kernel = image[4].value
    of_image, of_text, of_both = (np.array(tape.gradient(y, kernel)) for y in (*squares, both))
    assert of_image.any() and of_text.any()
    np.testing.assert_allclose(of_both, of_image + of_text, rtol=1e-5)


def test_an_update_of_the_discriminators_is_that_of_the_four_in_turn():
    rows, at_once, in_turn = batch_of(make_pairs(16)), small(), small()
    step(at_once.updates()[0], rows)
    for name in ("text_intra", "image_intra", "text_inter", "image_inter"):
        step(in_turn.updates()[0], rows, in_turn.networks[name].trainable_variables)
    for ours, theirs in zip(weights(at_once), weights(in_turn), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("player", [0, 1], ids=["discriminators", "generators"])
def test_a_players_step_lowers_its_loss_and_leaves_the_others_bit_equal(player):
    method, rows = small(), batch_of(make_pairs(16))
    parts = [("intra", "inter"), ("encoder", "generator", "classifier")]
    update, before = method.updates()[player], [of(method, *names) for names in parts]
    assert step(update, rows) > step(update, rows)
    for number, names in enumerate(parts):
        same = [(a == b).all() for a, b in zip(of(method, *names), before[number], strict=True)]
        assert all(same) == (number != player)


def losses_and_gradients(method, rows, replicas):
    """Of each update, as the loop takes them."""
    found = []
    for update in method.updates():
        with tf.GradientTape() as tape:
            total = tf.add_n(list(update.losses(rows, replicas).values())) / replicas.count
        variables = [variable.value for variable in update.variables]
        found += [total, *tape.gradient(total, variables)]
    return found


def test_two_replicas_have_the_losses_and_gradients_of_one(two_replicas):
    """By themselves, since the loop's steps take longer to compile."""
    rows = batch_of(make_pairs(16))
    with two_replicas.scope():
        method = small()

    @tf.function
    def on_two():
        def on_one_of_them():
            first = 8 * tf.distribute.get_replica_context().replica_id_in_sync_group
            own = tf.nest.map_structure(lambda column: column[first : first + 8], rows)
            replicas = Replicas()
            return replicas.sum(losses_and_gradients(method, own, replicas))

        return two_replicas.run(on_one_of_them)

    ours = [two_replicas.experimental_local_results(each)[0] for each in on_two()]
    expected = losses_and_gradients(small(), rows, OneReplica())
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert all(np.abs(kernel).max() > 1e-3 for kernel in expected if len(kernel.shape) == 2)


@pytest.mark.parametrize("rows", [8, 1])
def test_one_class_and_a_batch_of_one_pair_stay_finite(rows):
    pairs = make_pairs(rows)
    pairs.labels[:] = [1, 0, 0]
    for update in small().updates():
        assert np.isfinite(step(update, batch_of(pairs)))
        assert all(np.isfinite(variable).all() for variable in update.variables)
