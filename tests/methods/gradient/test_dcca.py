import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.losses.test_canonical_correlation import oracle
from tests.training.test_experiment import dataset, settings
from tests.training.tiny import OneReplica, make_pairs, method_of
from tfxmodal.errors import InputError
from tfxmodal.methods.gradient.dcca import DCCA, DCCAConfig
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.settings import Settings


def small(train=None, **config) -> DCCA:
    keras.utils.set_random_seed(0)
    sizes = {"hidden_units": (8,), "embedding_dim": 3}
    return method_of(DCCA, train or make_pairs(), DCCAConfig(**sizes | config))


def whole(pairs):
    """All pairs as one batch."""
    return {"pairs": {name: tf.constant(getattr(pairs, name)) for name in ("images", "texts")}}


def outputs(method, pairs):
    """The networks' outputs before linear CCA, float64."""
    return (
        np.float64(method.networks["image_network"](pairs.images)),
        np.float64(method.networks["text_network"](pairs.texts)),
    )


def scores(method, pairs):
    scorer = method.scorer()
    return scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))


def test_defaults_are_those_of_released_codes():
    config = DCCAConfig()
    assert (config.hidden_units, config.embedding_dim) == ((1024, 1024, 1024), 10)
    assert config.ridge == 1e-4
    assert Settings("dcca").training.learning_rate == 1e-3
    (update,) = small().updates()
    assert isinstance(update.optimizer(1e-3), keras.optimizers.RMSprop)


def test_the_term_is_the_loss_of_the_outputs():
    method, pairs = small(ridge=0.01), make_pairs()
    (value,) = method.loss_terms(whole(pairs), OneReplica()).values()
    assert float(value) == pytest.approx(oracle(*outputs(method, pairs), 0.01), rel=1e-5)


def minimised(method, pairs, term: str, *numbers: int) -> list[float]:
    """A loss term of all pairs, after so many steps of Adam by it alone, and so many more."""
    batch, optimizer = whole(pairs), keras.optimizers.Adam(0.03)
    variables = method.trainable_variables()
    optimizer.build(variables)

    @tf.function
    def steps(number):
        value = tf.constant(0.0)
        for _ in tf.range(number):
            with tf.GradientTape() as tape:
                value = method.loss_terms(batch, OneReplica())[term]
            optimizer.apply(tape.gradient(value, variables), variables)
        return value

    return [float(steps(number)) for number in numbers]


def test_linear_networks_reach_the_sum_of_cca_from_below():
    pairs = make_pairs()
    method = small(hidden_units=(), embedding_dim=2, ridge=1e-9)
    axes = [np.linalg.qr(rows - rows.mean(axis=0))[0] for rows in (pairs.images, pairs.texts)]
    of_cca = np.linalg.svd(axes[0].T @ axes[1], compute_uv=False)[:2].sum()
    first, last = (-value for value in minimised(method, pairs, "canonical_correlation", 1, 400))
    assert first < of_cca - 0.3
    assert of_cca - 2e-3 < last < of_cca + 1e-5


def test_linear_cca_of_the_outputs_ends_the_encoders():
    method, train, test = small(), make_pairs(), make_pairs(9, seed=1)
    method.settle(train)
    u, v = outputs(method, train)
    means, factors = [], []
    for h in (u, v):
        means.append(h.mean(axis=0))
        factors.append(np.linalg.cholesky(np.cov(h.T, bias=True) + 1e-4 * np.eye(3)))
    between = (u - means[0]).T @ (v - means[1]) / len(u)
    inverse = [np.linalg.inv(factor) for factor in factors]
    left, _, right = np.linalg.svd(inverse[0] @ between @ inverse[1].T)
    a, b = inverse[0].T @ left, inverse[1].T @ right.T
    codes = [
        (h - mean) @ directions
        for h, mean, directions in zip(outputs(method, test), means, (a, b), strict=True)
    ]
    codes = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in codes]
    np.testing.assert_allclose(scores(method, test), codes[0] @ codes[1].T, atol=1e-4)


def test_an_invertible_map_of_the_outputs_changes_no_score():
    method, train = small(ridge=1e-9), make_pairs()
    method.settle(train)
    before = scores(method, train)
    kernel, bias = method.networks["image_network"].trainable_variables[-2:]
    change = np.random.default_rng(0).normal(size=(3, 3))
    kernel.assign(kernel @ change)
    bias.assign(bias @ change + 1)
    assert np.abs(scores(method, train) - before).max() > 0.1
    method.settle(train)
    np.testing.assert_allclose(scores(method, train), before, atol=1e-3)


def test_the_last_maps_are_not_trained():
    method = small()
    trained = {variable.path for variable in method.trainable_variables()}
    assert len(method.trainable_variables()) == 8 and len(trained) == 8
    method.settle(make_pairs())
    kernel = method.networks["image_encoder"].layers[-1].layers[-2].kernel
    assert not np.allclose(kernel, np.eye(3))
    assert all(variable is not kernel for variable in method.trainable_variables())


@pytest.mark.parametrize("values", [{"batch_size": 4}, {"embedding_dim": 64, "batch_size": 1000}])
def test_a_batch_no_larger_than_the_outputs_is_refused_before_anything_begins(values, tmp_path):
    dim, rows = values.get("embedding_dim", 4), min(values["batch_size"], 64)
    told = f"`batch_size` must be above `embedding_dim`, {dim}, .*batches of {rows} training pairs"
    with pytest.raises(InputError, match=told):
        run_experiment(settings("dcca", **values), tmp_path / "run", dataset=dataset())
    assert not (tmp_path / "run").exists()


def test_networks_that_diverge_are_told(tmp_path):
    given = settings("dcca", learning_rate=1e30)
    with pytest.raises(InputError, match="'canonical_correlation' became nan.*`learning_rate`"):
        run_experiment(given, tmp_path / "run", dataset=dataset())
