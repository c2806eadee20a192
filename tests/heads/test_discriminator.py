import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.heads import discriminator as module
from tfxmodal.heads.discriminator import PairDiscriminator, input_branch

N = 7


def info_nce(scores):
    """The loss of `tfxmodal.losses.mutual_information`, for heads know no losses."""
    return tf.reduce_sum(tf.reduce_logsumexp(scores, axis=0) - scores[0], axis=(1, 2))


def head(dtype="float64"):
    discriminator = PairDiscriminator(input_dim=3, code_dim=4, units=5, dtype=dtype)
    for i, weight in enumerate(discriminator.weights):  # Biases too, which start at zero.
        seed = np.random.default_rng(i)
        weight.assign(seed.normal(size=weight.shape))
    return discriminator


def batch(n=N, dtype="float64"):
    rng = np.random.default_rng(9)
    inputs, codes = rng.normal(size=(n, 2, 3)), rng.normal(size=(n, 2, 4))
    return tf.constant(inputs, dtype), tf.constant(codes, dtype)


def straightforward(discriminator, inputs, codes, negatives):
    """Shifted copies, concatenation, three layers, four terms: equations (2) to (6) as they stand.

    `inputs` and `codes` are of the modality first, `[2, n, dim]`.
    """
    first = tf.concat([discriminator.from_input.kernel, discriminator.from_code.kernel], 0)
    total = 0.0
    for h in inputs:
        for z in codes:
            scores = []
            for shift in range(negatives + 1):
                a = tf.concat([tf.roll(h, -shift, axis=0), z], axis=1)
                a = tf.nn.relu(a @ first + discriminator.from_input.bias)
                a = tf.nn.relu(a @ discriminator.second.kernel + discriminator.second.bias)
                scores.append(a @ discriminator.third.kernel + discriminator.third.bias)
            scores = tf.concat(scores, axis=1)
            total -= tf.reduce_mean(scores[:, 0] - tf.reduce_logsumexp(scores, axis=1))
    return total


def value_and_gradients(function, discriminator, *tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    weights = [weight.value for weight in discriminator.trainable_variables]
    return [value, *tape.gradient(value, [*tensors, *weights])]


def assert_all_close(ours, theirs, **tolerance):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("tile", [1, 40, 4096], ids=["a code", "uneven", "all"])
@pytest.mark.parametrize("negatives", [1, 3, N - 1])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_mean_loss_equals_the_straightforward_formulation(monkeypatch, tile, negatives, compiled):
    monkeypatch.setattr(module, "_TILE", tile)
    discriminator = head()

    def ours(inputs, codes):
        return discriminator.mean_loss(inputs, codes, info_nce, negatives)

    def theirs(inputs, codes):
        modality_first = (tf.unstack(inputs, axis=1), tf.unstack(codes, axis=1))
        return straightforward(discriminator, *modality_first, negatives)

    wrap = tf.function if compiled else lambda function: function
    assert_all_close(
        wrap(lambda *xs: value_and_gradients(ours, discriminator, *xs))(*batch()),
        value_and_gradients(theirs, discriminator, *batch()),
        rtol=1e-10,
        atol=1e-12,
    )


def test_all_negatives_is_the_default_and_the_most():
    discriminator, (inputs, codes) = head(), batch()
    losses = [discriminator.mean_loss(inputs, codes, info_nce, k) for k in (None, N - 1, 10 * N)]
    assert len(set(map(float, losses))) == 1


def test_scores_of_all_pairs():
    discriminator, (inputs, codes) = head(), batch()
    h, z = inputs[:, 0], codes[:5, 1]
    scores = discriminator(h[:, None], z[None])
    w_h, b1, w_z, w2, b2, w3, b3 = discriminator.get_weights()
    w = np.concatenate([w_h, w_z])
    for i in range(N):
        for j in range(5):
            a = np.maximum(np.concatenate([h[i], z[j]]) @ w + b1, 0)
            expected = np.maximum(a @ w2 + b2, 0) @ w3 + b3
            np.testing.assert_allclose(scores[i, j], expected[0], atol=1e-12)
    np.testing.assert_allclose(discriminator(h[:5], z), np.diag(scores), atol=1e-12)


def test_replicas_average_to_the_whole():
    discriminator, (inputs, codes) = head(), batch(6)

    def whole(inputs, codes):
        return discriminator.mean_loss(inputs, codes, info_nce, 4)

    def parts(inputs, codes):
        half = [
            discriminator.mean_loss(inputs, codes[s : s + 3], info_nce, 4, offset=s) for s in (0, 3)
        ]
        return tf.reduce_mean(half)

    assert_all_close(
        value_and_gradients(parts, discriminator, inputs, codes),
        value_and_gradients(whole, discriminator, inputs, codes),
        atol=1e-12,
    )


def test_upstream_gradient_scales():
    discriminator, (inputs, codes) = head(), batch()

    def loss(inputs, codes):
        return discriminator.mean_loss(inputs, codes, info_nce)

    once = value_and_gradients(loss, discriminator, inputs, codes)
    thrice = value_and_gradients(lambda *xs: 3 * loss(*xs), discriminator, inputs, codes)
    assert_all_close(thrice, [3 * part for part in once], rtol=1e-12)


def test_one_pair_has_no_negatives():
    discriminator, (inputs, codes) = head(), batch(1)
    results = value_and_gradients(
        lambda *xs: discriminator.mean_loss(*xs, info_nce), discriminator, inputs, codes
    )
    for result in results:
        np.testing.assert_allclose(result, 0, atol=1e-12)


def test_mixed_bfloat16_is_near_and_sums_in_float32():
    exact, mixed = head(), head("mixed_bfloat16")
    one = value_and_gradients(lambda *xs: exact.mean_loss(*xs, info_nce), exact, *batch())
    two = value_and_gradients(
        lambda *xs: mixed.mean_loss(*xs, info_nce), mixed, *batch(dtype="float32")
    )
    assert two[0].dtype == tf.float32
    assert abs(float(two[0]) - float(one[0])) < 0.02 * abs(float(one[0]))
    # All gradients together: a small one alone shows how often the CPU rounds within a sum.
    a, b = (np.concatenate([np.ravel(np.float64(g)) for g in each[1:]]) for each in (one, two))
    assert np.linalg.norm(a - b) <= 0.1 * np.linalg.norm(a)


def test_inside_mirrored_strategy(two_replicas):
    strategy = two_replicas
    with strategy.scope():
        discriminator = head()
    inputs, codes = batch(6)

    @tf.function
    def step():
        def replica():
            context = tf.distribute.get_replica_context()
            start = 3 * context.replica_id_in_sync_group
            with tf.GradientTape() as tape:
                loss = discriminator.mean_loss(
                    inputs, codes[start : start + 3], info_nce, offset=start
                )
            weights = [weight.value for weight in discriminator.trainable_variables]
            return context.all_reduce("mean", [loss, *tape.gradient(loss, weights)])

        return strategy.run(replica)

    def whole():
        return discriminator.mean_loss(inputs, codes, info_nce)

    results = [strategy.experimental_local_results(result)[1] for result in step()]
    assert_all_close(results, value_and_gradients(whole, discriminator), atol=1e-12)


def test_starts_as_glorot_of_the_concatenated_layer():
    discriminator = PairDiscriminator()
    limit = np.sqrt(6 / (1024 + 512))
    for layer in (discriminator.from_input, discriminator.from_code):
        kernel = layer.kernel.numpy()
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    difference = discriminator.from_input.kernel - discriminator.from_code.kernel
    assert np.abs(difference).max() > 0


def test_input_branches_share_the_last_layer():
    last = keras.layers.Dense(4, activation="relu")
    image, text = input_branch(6, last), input_branch(5, last)
    assert image(tf.ones([2, 6])).shape == (2, 4)
    assert image.trainable_variables[2] is text.trainable_variables[2]


def test_config_round_trip():
    config = PairDiscriminator(3, 4, 5).get_config()
    assert PairDiscriminator.from_config(config).second.kernel.shape == (5, 5)
