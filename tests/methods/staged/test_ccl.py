from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.losses.test_margin_contrastive import oracle as contrastive
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
from tests.training.test_loop import float64
from tests.training.tiny import batch_of, make_pairs
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError
from tfxmodal.heads.rbm import RBM
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.methods.staged.ccl import CCL, CCLConfig
from tfxmodal.training.settings import Settings

SIZES = UNITS | {"grain_units": 4, "joined_units": 6, "embedding_dim": 3}


def small(train=None, **config) -> CCL:
    return made(CCL, CCLConfig(**SIZES | config), train)


@pytest.fixture(scope="module")
def method() -> CCL:
    return with_large_weights(small(correspondence=0.6, contrast_weight=2.0, margin=0.7))


def parts(n=12) -> Pairs:
    """Maps of four locations, and texts of up to five words."""
    rng, pairs = np.random.default_rng(0), make_pairs(n)
    maps = rng.normal(size=(n, 4, 6)).astype("float32")
    ids = rng.integers(2, 8, (n, 5)).astype("int32")
    ids[np.arange(5) >= rng.integers(1, 6, n)[:, None]] = 0
    ids[0] = [1, 0, 0, 0, 0]  # No known word.
    return pairs.with_features(maps, ids)


def reading_parts(grains: str) -> CCL:
    """A method that reads `parts()`."""
    encoder = TextCNN(("a", "b", "c", "d", "e", "f"), 5, "random", 5)
    table = np.random.default_rng(1).normal(size=(8, 5))
    encoder.network.get_layer("vectors").set_weights([table])
    scaled = {"image_scaling": "standard", "text_scaling": "standard"}
    config = CCLConfig(**SIZES, grains=grains, **scaled)
    kinds = METHODS["ccl"].inputs(config)
    return made(CCL, config, parts(), kinds=kinds, networks={"text": encoder.network})


@pytest.fixture(scope="module")
def of_parts() -> CCL:
    """A method that reads both grains of `parts()`."""
    return reading_parts("both")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_codes_are_those_of_the_layers(method, kind):
    networks, others = method.networks, make_pairs(9, seed=1)
    rows = getattr(others, f"{kind}s")
    for name in ("coarse_1", "coarse_2"):
        rows = dense(rows, method.machines[f"{kind}_{name}"][0].get_weights(), sigmoid)
    rows = standardised(dense(rows, networks[f"{kind}_coarse"].layers[-2].get_weights(), sigmoid))
    rows = standardised(dense(rows, method.machines[f"{kind}_joined"][0].get_weights(), sigmoid))
    above = networks[f"{kind}_classifier"].get_layer(f"{kind}_hidden_layers").get_weights()
    rows = standardised(dense(rows, above, lambda rows: np.maximum(rows, 0)))
    first, second, _ = method._tasks[:3] if kind == "image" else method._tasks[3:]
    code = sigmoid(dense(dense(rows, first.get_weights(), sigmoid), second.get_weights()))
    assert_codes_are(method, kind, make_pairs(), others, code)


def test_the_terms_of_correspondence_and_of_both_tasks(method):
    pairs = make_pairs(12)
    batch, stages = batch_of(pairs), {stage.name: stage for stage in method.stages()}
    images, texts = method.embed(batch["pairs"], "coarse")
    c_x, h_x, d_x, c_t, h_t, d_t = (each.numpy().astype(float) for each in (*images, *texts))
    terms, _ = terms_and_gradients(stages["correspondence"], batch)
    expected = {
        "coarse_correspondence": np.mean([(row**2).sum() for row in c_x - c_t]),
        "coarse_reconstruction": sum(
            np.mean([(row**2).sum() for row in rows]) for rows in (d_x - h_x, d_t - h_t)
        ),
    }
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, 1e-5)
    weights = stages["correspondence"].updates[0].weights
    assert list(weights.values()) == pytest.approx([0.6, 0.4])

    y = pairs.labels.astype(float)
    (u, of_u), (v, of_v) = (
        [each.numpy().astype(float) for each in pair]
        for pair in method.embed(batch["pairs"], "tasks")
    )
    np.testing.assert_allclose(
        dense(np.log(u / (1 - u)), method._tasks[2].get_weights()), of_u, 1e-3
    )
    terms, _ = terms_and_gradients(stages["tasks"], batch)
    expected = {"contrastive": contrastive(u, v, y @ y.T > 0, 0.7)}
    for kind, logits in (("image", of_u), ("text", of_v)):
        each = np.logaddexp(0, logits) - y * logits
        expected[f"{kind}_classes"] = np.mean(each.sum(axis=1))
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, 1e-4)
    assert stages["tasks"].updates[0].weights["contrastive"] == 2


def test_with_both_grains_each_layer_is_trained_in_one_stage(of_parts):
    method, pairs = of_parts, parts()
    trained = assert_stages_train_all_layers_apart(method, pairs)
    vectors = {id(variable) for variable in method._words.variables}
    every = {id(variable) for variable in method.trainable_variables()}
    assert trained == every - vectors and vectors & every
    method.settle(pairs)
    assert np.isfinite(method.scorer().embed_texts(pairs.texts)).all()


def test_the_code_of_parts_that_are_alike_is_that_of_the_whole(of_parts):
    method, pairs = of_parts, parts()
    alike = pairs.with_features(
        np.repeat(pairs.images[:, :1], 4, axis=1), np.where(pairs.texts > 0, 3, 0).astype("int32")
    )
    for kind in ("image", "text"):
        for level in (1, 2):
            whole, part = (method.machines[f"{kind}_{grain}_{level}"][0] for grain in method.grains)
            part.set_weights(whole.get_weights())
    for (_, whole, _), (_, part, _) in zip(
        *(method.embed(batch_of(alike)["pairs"], grain) for grain in method.grains), strict=True
    ):
        np.testing.assert_allclose(part, whole, atol=1e-6)


def test_means_are_the_wholes_of_both_grains_and_nothing_else(of_parts):
    method, pairs = reading_parts("means"), parts()
    assert method.grains == ("coarse",) and not any("fine" in name for name in method.machines)
    for kind, rows in (("image", pairs.images), ("text", pairs.texts)):
        read, whole = (each.machines[f"{kind}_coarse_1"][1](rows) for each in (method, of_parts))
        np.testing.assert_allclose(read["rows"], whole["rows"], rtol=1e-6)
    assert np.isfinite(method.scorer().embed_texts(pairs.texts)).all()


def test_padding_of_texts_changes_nothing(of_parts, monkeypatch):
    """Neither the codes, nor the loss of the parts."""
    method, pairs = of_parts, parts()
    wider = replace(pairs, texts=np.pad(pairs.texts, [(0, 0), (0, 3)]))
    monkeypatch.setattr(RBM, "_uniform", lambda self, like, replicas: tf.fill(tf.shape(like), 0.5))
    level_1 = method.stages()[0]
    ours, theirs = (terms_and_gradients(level_1, batch_of(each))[0] for each in (pairs, wider))
    assert {k: float(v) for k, v in ours.items()} == pytest.approx(
        {k: float(v) for k, v in theirs.items()}, 1e-5
    )
    codes = [method.scorer().embed_texts(each.texts) for each in (pairs, wider)]
    np.testing.assert_allclose(*codes, atol=1e-6)


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    """In float64: what standardises codes that hardly differ amplifies rounding."""
    with float64():
        assert_two_replicas_train_as_one(CCL, CCLConfig(**SIZES), two_replicas, tmp_path)


def test_both_grains_are_read_where_items_have_parts():
    decide, data = METHODS["ccl"].decide, DataConfig()
    raw = make_pairs(2).with_features(np.array(["a.png", "b.png"]), [("a",), ("b",)])
    assert decide(CCLConfig(), raw, data) == (CCLConfig(grains="both"), None)
    assert decide(CCLConfig(grains="means"), raw, data) == (CCLConfig(grains="means"), None)
    without = [
        (CCLConfig(), make_pairs(), data),
        (CCLConfig(), raw, DataConfig(image_encoder="ResNet50")),
        (CCLConfig(), raw, DataConfig(text_encoder="minilm:folder")),
        (CCLConfig(text_rows="counts"), raw, data),
        (CCLConfig(grains="coarse"), raw, data),
    ]
    for config, train, of in without:
        config, told = decide(config, train, of)
        assert config.grains == "coarse" and "no parts" in told
        assert METHODS["ccl"].inputs(config) == {"image": "global", "text": "global"}
    for grains in ("both", "means"):
        with pytest.raises(InputError, match=f"`grains` {grains} .*received ready features.*or ta"):
            decide(CCLConfig(grains=grains), make_pairs(), data)


def test_a_run_that_began_with_whole_items_goes_on_with_them():
    recorded = Settings("ccl").having(grains="coarse")
    assert Settings("ccl").continuing(recorded).config.grains == "coarse"
    assert Settings.from_json(recorded.to_json()) == recorded


def test_defaults_are_the_released_codes():
    config, training = CCLConfig(), Settings("ccl").training
    assert (config.grain_units, config.joined_units, config.embedding_dim) == (1024, 2048, 1024)
    assert (config.correspondence, config.margin, training.batch_size) == (0.7, 1, 80)


@pytest.mark.parametrize("grains", ["both", "means"])
def test_counts_have_no_parts(grains):
    with pytest.raises(InputError, match=f"`text_rows` counts .*received {grains}"):
        CCLConfig(text_rows="counts", grains=grains)
