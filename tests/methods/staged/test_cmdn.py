from dataclasses import replace

import numpy as np
import pytest

from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one
from tests.methods.staged.tiny_stages import (
    UNITS,
    assert_codes_are,
    assert_stages_train_all_layers_apart,
    dense,
    made,
    sigmoid,
    standardised,
    terms_and_gradients,
    with_large_weights,
)
from tests.training.tiny import batch_of, make_pairs
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.methods.staged.cmdn import CMDN, CMDNConfig
from tfxmodal.training.checkpoints import random_states
from tfxmodal.training.settings import Settings

SIZES = UNITS | {
    "autoencoder_units": (5, 3),
    "joint_units": 6,
    "fused_units": 5,
    "shared_units": (3, 2),
    "mean_field_steps": 2,
}


def small(train=None, **config) -> CMDN:
    return made(CMDN, CMDNConfig(**SIZES | config), train)


def oracle(method, pairs, kind) -> list[np.ndarray]:
    """What the stages above the joint one read, of one modality in NumPy: codes u by level."""
    image, network = kind == "image", method.networks
    x = pairs.images if image else pairs.texts
    first, second, fused = (
        method.machines[f"{kind}_{name}"][0].get_weights() for name in ("first", "second", "fused")
    )
    own, hidden = x, x
    stacked = network[f"{kind}_autoencoder"].get_layer("feature_network").get_weights()
    for weights in (stacked[:2], stacked[2:]):
        own = dense(own, weights, lambda rows: np.maximum(rows, 0))
    for weights in (first, second):
        hidden = dense(hidden, weights, sigmoid)
    w, a, b = method._joint.get_weights()
    here, there = (slice(4), slice(4, 7)) if image else (slice(4, 7), slice(4))
    joint = sigmoid(hidden @ w[here] + b)
    for _ in range(2):
        missing = sigmoid(joint @ w[there].T + a[there])
        joint = sigmoid(hidden @ w[here] + missing @ w[there] + b)
    rows = standardised(np.concatenate([own, joint], axis=1))
    rows = standardised(dense(rows, fused, sigmoid))
    above = network[f"{kind}_classifier"].get_layer(f"{kind}_hidden_layers").get_weights()
    codes = [dense(rows, above, lambda rows: np.maximum(rows, 0))]
    for level in (0, 1):
        w, b = network[f"bimodal_{level}"].layers[1].get_weights()
        half = len(w) // 2
        codes.append(sigmoid(codes[-1] @ (w[:half] if image else w[half:]) + b))
    return codes


@pytest.fixture(scope="module")
def method() -> CMDN:
    return with_large_weights(small())


@pytest.mark.parametrize("kind", ["image", "text"])
def test_codes_are_those_of_the_layers(method, kind):
    """And that of one modality alone sees that modality's weights alone."""
    train, others = make_pairs(), make_pairs(9, seed=1)
    assert_codes_are(method, kind, train, others, oracle(method, others, kind)[-1])


def test_a_bimodal_autoencoder_sees_images_texts_and_both(method):
    pairs = make_pairs(12)
    stage = method.stages()[5]
    assert stage.name == "shared 1"
    # In training the fused layer standardises by the batch.
    u, v = (each.numpy() for each in method.embed(batch_of(pairs)["pairs"], "shared_0"))
    terms, _ = terms_and_gradients(stage, batch_of(pairs))
    _, encode, decode, classify = method.networks["bimodal_0"].layers
    expected = {"reconstruction": 0.0, "classes": 0.0}
    for x, t, y in zip(u, v, pairs.labels, strict=True):
        for row in ([*x, *0 * t], [*0 * x, *t], [*x, *t]):
            code = dense(row, encode.get_weights(), sigmoid)
            errors = dense(code, decode.get_weights()) - [*x, *t]
            p = sigmoid(dense(code, classify.get_weights()))
            expected["reconstruction"] += (errors**2).sum() / 36
            expected["classes"] -= np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / 36
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, 1e-4)


def assert_each_layer_has_its_stage(method, pairs):
    trained = assert_stages_train_all_layers_apart(method, pairs)
    every = method.trainable_variables()
    assert trained == {id(variable) for variable in every} and len(every) > 40
    stages = method.stages()
    assert [stage.epochs for stage in stages] == 6 * [7] + [None]
    assert [stage.validated for stage in stages] == 6 * [False] + [True]


def counts(**changed) -> Pairs:
    texts = np.random.default_rng(0).poisson(1.0, (12, 5)).astype("float32")
    texts[3] = 0
    for place, value in changed.items():
        texts[int(place[1:])] = value
    return replace(make_pairs(12), texts=texts)


def test_machines_of_counts_are_trained_on_counts_alone():
    method = small(counts(), text_rows="counts", stage_epochs=7)
    assert method.machines["text_first"][0].visible == "counts"
    assert_each_layer_has_its_stage(method, counts())
    for value, told in ((0.5, "0.5"), (-1, "-1"), (np.nan, "nan")):
        with pytest.raises(InputError, match=f"`text_rows` .*received {told} in row 2: give"):
            method.adapt(counts(), counts(_2=value))


def test_rows_that_say_little_have_finite_losses_and_codes():
    """One row repeated, so one class, and columns that are constant."""
    train = make_pairs(12).take(np.zeros(12, int))
    scaled = {"image_scaling": "standard", "text_scaling": "standard"}
    method = small(train, layers="autoencoder", stage_epochs=7, **scaled)
    assert_each_layer_has_its_stage(method, train)
    method.settle(train)
    assert np.isfinite(method.scorer().embed_images(train.images)).all()


def test_random_numbers_are_among_what_is_saved(method):
    assert len(random_states(method.networks)) >= 7  # Two and a fused one each, and the joint one.


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    """In the first stage, where units are drawn."""

    class First(CMDN):
        def stages(self):
            return [replace(super().stages()[0], epochs=1)]

    assert_two_replicas_train_as_one(First, CMDNConfig(**SIZES), two_replicas, tmp_path)


def test_defaults_are_the_released_codes():
    config, training = CMDNConfig(), Settings("cmdn").training
    assert (config.image_units, config.text_units) == ((2048, 1024), (1024, 1024))
    assert config.shared_units == (512, 256, 128, 64)
    assert training.batch_size == 128


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"shared_units": ()}, "`shared_units` must name a layer .*received none"),
        ({"hidden_units": ()}, "`hidden_units` must name a layer .*received none"),
        ({"text_rows": "counts", "text_scaling": "unit"}, "`text_scaling` .*received unit"),
    ],
)
def test_what_cannot_be_is_refused(fields, told):
    with pytest.raises(InputError, match=told):
        CMDNConfig(**fields)
