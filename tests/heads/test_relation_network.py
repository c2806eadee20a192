"""Relation scores against the plain formulation: fuse all pairs, then go through Keras' layers."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.errors import InputError
from tfxmodal.heads.relation_network import FUSIONS, RelationNetwork
from tfxmodal.training.replicas import Replicas

DIM, UNITS = 3, 19
FORMS = [*itertools.product(FUSIONS, [1, 2], [False, True])]
every_form = pytest.mark.parametrize("fusion, hidden_layers, batch_norm", FORMS)


def relation(fusion="concatenation", hidden_layers=1, batch_norm=False, dtype="float64"):
    network = RelationNetwork(DIM, fusion, hidden_layers, UNITS, batch_norm, dtype=dtype)
    for seed, weight in enumerate(network.weights):  # Those too that start as zeros and ones.
        values = np.random.default_rng(seed).normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)
    return network


def batch(n=6, m=18, dtype="float64"):
    rng = np.random.default_rng(9)
    images, texts, target = (rng.normal(size=size) for size in ((n, DIM), (m, DIM), (n, m)))
    return tuple(tf.constant(x, dtype) for x in (images, texts, target))


def layers(network):
    """The layers that have weights, first to last."""
    hidden = itertools.chain(*zip(network.dense, network.norms, strict=True))
    return [layer for layer in (*hidden, network.read_out) if layer.weights]


def plain_stack(network):
    """The same network of Keras' layers on fused vectors `[pairs, width]`."""
    options = {"dtype": network.dtype_policy}
    width = network.dense[0].kernel.shape[0]
    stack = keras.Sequential([keras.Input([width], dtype=network.variable_dtype)])
    for _ in network.dense:
        stack.add(keras.layers.Dense(network.units, **options))
        if network.batch_norm:
            stack.add(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options))
        stack.add(keras.layers.ReLU(**options))
    stack.add(keras.layers.Dense(1, **options))
    stack.set_weights([w for layer in layers(network) for w in layer.get_weights()])
    return stack


def fuse(fusion, images, texts):
    if fusion == "concatenation":
        return tf.concat([images, texts], 1)
    operators = {"multiplication": "__mul__", "addition": "__add__", "subtraction": "__sub__"}
    return getattr(images, operators[fusion])(texts)


def plain_pairs(stack, fusion, images, texts, training=False):
    n, m = images.shape[0], texts.shape[0]
    fused = fuse(fusion, tf.repeat(images, m, axis=0), tf.tile(texts, [n, 1]))
    return tf.reshape(stack(fused, training=training), [n, m])


def loss_and_gradients(scores, layers, images, texts, target):
    """Scores, their loss, and its gradients by both inputs and every weight, first layer first."""
    weights = [weight.value for layer in layers for weight in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch((images, texts))
        values = scores(images, texts)
        loss = tf.reduce_mean((values - target) ** 2)
    return [values, loss, *tape.gradient(loss, [images, texts, *weights])]


def moving_statistics(layers):
    return [weight for layer in layers for weight in layer.non_trainable_weights]


def assert_all_close(ours, theirs, atol=1e-10):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=atol)


@every_form
def test_all_pairs_equals_the_plain_formulation(fusion, hidden_layers, batch_norm):
    network, data = relation(fusion, hidden_layers, batch_norm), batch()
    stack = plain_stack(network)
    assert_all_close(
        loss_and_gradients(
            lambda *xs: network.all_pairs(*xs, training=True), layers(network), *data
        ),
        loss_and_gradients(
            lambda *xs: plain_pairs(stack, fusion, *xs, training=True), stack.layers, *data
        ),
    )
    moved = moving_statistics(layers(network))
    assert len(moved) == 2 * hidden_layers * batch_norm
    assert_all_close(moved, moving_statistics(stack.layers))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_cosine_of_the_start_is_added(fusion):
    network = RelationNetwork(DIM, fusion, 1, UNITS, start_dim=2, dtype="float64")
    images, texts, target = batch(6, 6)
    cosines = images[:, 1:] @ tf.transpose(texts[:, 1:])
    np.testing.assert_array_equal(network.all_pairs(images, texts), cosines)  # Before it learns.

    network.read_out.set_weights(relation(fusion).read_out.get_weights())
    stack = plain_stack(network)
    data = images, texts, target

    def plain(images, texts):
        cosines = images[:, 1:] @ tf.transpose(texts[:, 1:])
        return plain_pairs(stack, fusion, images, texts) + cosines

    assert_all_close(
        loss_and_gradients(network.all_pairs, layers(network), *data),
        loss_and_gradients(plain, stack.layers, *data),
    )
    assert_all_close(network(images, texts), np.diag(network.all_pairs(images, texts)))


@pytest.mark.parametrize("n, m", [(1, 16), (17, 1)])
def test_sizes_around_the_number_of_slices(n, m):
    network, data = relation(), batch(n, m)
    stack = plain_stack(network)
    assert_all_close(
        loss_and_gradients(network.all_pairs, layers(network), *data),
        loss_and_gradients(
            lambda *xs: plain_pairs(stack, "concatenation", *xs), stack.layers, *data
        ),
    )


@every_form
def test_aligned_pairs(fusion, hidden_layers, batch_norm):
    network, (images, texts, _) = relation(fusion, hidden_layers, batch_norm), batch(6, 6)
    stack, fused = plain_stack(network), fuse(fusion, images, texts)
    for training in (False, True, False):  # The last with moved statistics.
        scores = network(images, texts, training=training)
        assert_all_close(scores[:, None], stack(fused, training=training))
    assert_all_close(scores, np.diag(network.all_pairs(images, texts)))


@every_form
def test_weights_for_inference(fusion, hidden_layers, batch_norm):
    network, (images, texts, _) = relation(fusion, hidden_layers, batch_norm), batch(5, 5)
    weights = network.weights_for_inference()
    assert weights.fusion == fusion
    if fusion == "multiplication":
        assert weights.text_kernel is None
        rows = (images.numpy() * texts.numpy()) @ weights.image_kernel.numpy()
    else:
        rows = images.numpy() @ weights.image_kernel.numpy()
        rows = rows + texts.numpy() @ weights.text_kernel.numpy()
    rows = np.maximum(rows + weights.bias, 0)
    for kernel, bias in weights.hidden:
        rows = np.maximum(rows @ kernel.numpy() + bias, 0)
    scores = rows @ weights.read_out.numpy() + weights.read_out_bias
    assert_all_close(network(images, texts), scores)
    assert_all_close(np.diag(network.all_pairs(images, texts)), scores)


@pytest.mark.parametrize(
    "form",
    [("subtraction", 1, False), ("subtraction", 2, True), ("multiplication", 2, True)],
)
def test_two_replicas_equal_one(two_replicas, form):
    images, texts, target = batch(6, 6)
    alone = relation(*form)
    expected = loss_and_gradients(
        lambda *xs: alone.all_pairs(*xs, training=True), layers(alone), images, texts, target
    )
    with two_replicas.scope():
        network = relation(*form)

    @tf.function
    def step():
        def replica():
            replicas = Replicas()
            first = replicas.offset(images[:3])
            own = [x[first : first + 3] for x in (images, texts, target)]

            def scores(images, texts):
                return network.all_pairs(images, replicas.gather(texts), training=True)

            values, loss, *gradients = loss_and_gradients(scores, layers(network), *own)
            rows = [replicas.gather(x) / replicas.count for x in gradients[:2]]
            shares = [x / replicas.count for x in (loss, *gradients[2:])]
            loss, *gradients = replicas.sum(shares)
            return [replicas.gather(values), loss, *rows, *gradients]

        return two_replicas.run(replica)

    results = [two_replicas.experimental_local_results(result) for result in step()]
    for replica in range(2):
        assert_all_close([result[replica] for result in results], expected)
        moved = [
            two_replicas.experimental_local_results(w.value)[replica]
            for w in moving_statistics(layers(network))
        ]
        assert_all_close(moved, moving_statistics(layers(alone)))


def test_training_steps_repeat_bit_for_bit():
    def trained():
        network, data = relation(dtype="float32"), batch(dtype="float32")

        @tf.function
        def steps(count):
            for _ in tf.range(count):
                gradients = loss_and_gradients(network.all_pairs, layers(network), *data)[4:]
                weights = [w for layer in layers(network) for w in layer.trainable_weights]
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.assign_sub(0.1 * gradient)

        steps(5)
        return network.get_weights()

    for once, again in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("fusion", ["concatenation", "multiplication"])
@pytest.mark.parametrize("hidden_layers", [1, 2])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_mixed_bfloat16_is_near(fusion, hidden_layers, batch_norm):
    def results(policy, dtype):
        network = relation(fusion, hidden_layers, batch_norm, dtype=policy)

        def scores(images, texts):
            return network.all_pairs(images, texts, training=True)

        values, _, *gradients = loss_and_gradients(scores, layers(network), *batch(dtype=dtype))
        return np.ravel(values), np.concatenate([np.ravel(gradient) for gradient in gradients])

    near, exact = results("mixed_bfloat16", "float32"), results("float64", "float64")
    for a, b in zip(near, exact, strict=True):
        assert np.linalg.norm(a - b) <= 0.03 * np.linalg.norm(b)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_call_in_mixed_bfloat16(batch_norm):
    exact, mixed = (relation("addition", 2, batch_norm, p) for p in ("float64", "mixed_bfloat16"))
    images, texts, _ = batch(5, 5)
    for training in (False, True):
        scores, near = (network(images, texts, training=training) for network in (exact, mixed))
        assert near.dtype == tf.float32
        np.testing.assert_allclose(near, scores, atol=0.05 * np.ptp(scores))


@pytest.mark.parametrize("fusion", ["concatenation", "multiplication"])
@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_scores_of_mixed_bfloat16_are_not_rounded_to_it(fusion, hidden_layers):
    network = relation(fusion, hidden_layers, dtype="mixed_bfloat16")
    images, texts, _ = batch(6, 6, "float32")
    for scores in (network(images, texts), network.all_pairs(images, texts)):
        assert scores.dtype == tf.float32
        assert (scores != tf.cast(tf.cast(scores, tf.bfloat16), tf.float32)).numpy().any()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_saved_and_loaded(tmp_path, batch_norm):
    network, (images, texts, _) = relation("addition", 2, batch_norm), batch(5, 5)
    inputs = [keras.Input([DIM], dtype="float64") for _ in range(2)]
    keras.Model(inputs, network(*inputs)).save(tmp_path / "relation.keras")
    loaded = keras.saving.load_model(tmp_path / "relation.keras").layers[-1]
    assert loaded.get_config() == network.get_config()
    np.testing.assert_array_equal(loaded(images, texts), network(images, texts))


def test_unknown_fusion():
    with pytest.raises(InputError, match="fusion.*'sum'.*concatenation"):
        RelationNetwork(DIM, fusion="sum")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_vectors_of_other_widths_are_refused(fusion):
    message = f"by {fusion}, vectors of 3 numbers; received 3 for images and 4 for texts"
    for score in (relation(fusion), relation(fusion).all_pairs):
        with pytest.raises(InputError, match=message):
            score(np.ones([2, DIM]), np.ones([2, 4]))
