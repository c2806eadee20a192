from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of, unpaired
from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.drsl import DRSL, DRSLConfig


def small(train=None, **config) -> DRSL:
    keras.utils.set_random_seed(0)
    sizes = {"hidden_units": (8,), "feature_dim": 4, "relation_units": 16}
    return method_of(DRSL, train or make_pairs(), DRSLConfig(**sizes | config))


def test_defaults_are_the_papers():
    config = DRSLConfig()
    assert (config.hidden_units, config.feature_dim) == ((1024,), 300)
    assert (config.fusion, config.relation_layers, config.relation_units) == (
        "concatenation",
        1,
        1024,
    )
    assert not config.encoder_batch_norm and not config.relation_batch_norm
    assert (config.dropout, config.pair_weights) == (0, "equal")
    assert config.image_scaling == config.text_scaling == "none"


def test_networks_are_those_of_section_3_4():
    train = make_pairs()
    train = replace(train, images=np.zeros([64, 4096]), texts=np.zeros([64, 300]))
    networks = method_of(DRSL, train, DRSLConfig()).networks
    shapes = {
        name: [tuple(w.shape) for w in network.trainable_variables if len(w.shape) == 2]
        for name, network in networks.items()
    }
    assert shapes == {
        "image_encoder": [(4096, 1024), (1024, 300)],
        "text_encoder": [(300, 1024), (1024, 300)],
        "relation": [(600, 1024), (1024, 1)],
    }


@pytest.mark.parametrize("pair_weights", ["equal", "balanced"])
def test_the_loss_is_equation_10_of_all_pairs(pair_weights):
    method = small(pair_weights=pair_weights)
    batch = batch_of(make_pairs(), slice(0, 12))["pairs"]
    (value,) = method.loss_terms({"pairs": batch}, OneReplica()).values()

    z_i = method.networks["image_encoder"](batch["images"]).numpy().astype(float)
    z_t = method.networks["text_encoder"](batch["texts"]).numpy().astype(float)
    w1, b1, w2, b2 = (w.astype(float) for w in method.networks["relation"].get_weights())
    errors, similar = np.zeros((12, 12)), np.zeros((12, 12), bool)
    for p in range(12):
        for q in range(12):
            v = np.concatenate([z_i[p], z_t[q]])
            similar[p, q] = (batch["labels"][p].numpy() * batch["labels"][q].numpy()).any()
            errors[p, q] = np.maximum(v @ w1 + b1, 0) @ w2[:, 0] + b2[0] - similar[p, q]
    weights = np.ones((12, 12))
    if pair_weights == "balanced":
        weights = np.where(similar, 72 / similar.sum(), 72 / (~similar).sum())
    assert float(value) == pytest.approx((weights * errors**2).sum() / 12, rel=1e-5)


def test_images_and_texts_need_not_be_paired():
    train = unpaired()
    method = small(train)
    streams = method.streams(train, seed=0)
    assert {name: len(rows) for name, rows in streams.items()} == {"images": 40, "texts": 64}
    pairs = make_pairs()

    def of(stream, rows):
        columns = batch_of(pairs, rows)["pairs"]
        return {stream: {name: columns[name] for name in (stream, "labels")}}

    apart = of("images", slice(0, 12)) | of("texts", slice(0, 12))

    def loss(batch):
        return float(method.loss_terms(batch, OneReplica())["relational_similarity"])

    assert loss(apart) == pytest.approx(loss(batch_of(pairs, slice(0, 12))))
    whole = loss(apart)
    parts = []
    for rows in (slice(0, 4), slice(4, 12)):  # Fewer texts than images.
        parts.append(loss(apart | of("texts", rows)))
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


def test_labels_are_needed_and_the_message_names_who_needs_none():
    with pytest.raises(InputError, match="drsl learns from labels.*needs none .scl"):
        METHODS["drsl"].check(replace(make_pairs(), labels=None))


def test_scl_needs_pairs():
    with pytest.raises(InputError, match="not paired .40 images, 64 texts.*train drsl"):
        METHODS["scl"].check(unpaired())
    METHODS["drsl"].check(unpaired())


@pytest.mark.parametrize("fusion", ["concatenation", "multiplication", "addition", "subtraction"])
def test_the_scorer_sees_the_networks_as_they_are(fusion):
    method, pairs = small(fusion=fusion, encoder_batch_norm=True), make_pairs(7)
    scorer = method.scorer()
    for _ in range(2):
        images, texts = scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts)
        expected = method.networks["relation"].all_pairs(images, texts)
        np.testing.assert_allclose(scorer.score(images, texts), expected, rtol=1e-4, atol=1e-6)
        for variable in method.trainable_variables():
            variable.assign(variable + 0.1)


@pytest.mark.parametrize("several", [False, True])
def test_it_starts_with_the_scores_of_semantic_matching(several):
    train, validation = make_pairs(64), make_pairs(24, seed=1)
    if not several:
        train, validation = (
            replace(each, labels=np.eye(3, dtype="uint8")[np.arange(len(each)) % 3])
            for each in (train, validation)
        )
    method = small(train, start="semantic_matching", image_scaling="standard")
    assert method.starts_trained
    method.adapt(train, validation, "map")
    matching = METHODS["semantic_matching"]
    expected = matching.fit(train, validation, matching.config(), "map").scorer()

    def scores(scorer):
        return scorer.score(
            scorer.embed_images(validation.images), scorer.embed_texts(validation.texts)
        )

    np.testing.assert_allclose(scores(method.scorer()), scores(expected), atol=1e-6)


def test_it_starts_with_the_scores_of_a_shared_space():
    train, validation = make_pairs(64), make_pairs(24, seed=1)
    train, validation = (each.with_features(each.images[:, :5]) for each in (train, validation))
    method = small(train, start="zero_shot", image_scaling="standard")
    assert method.starts_trained
    method.adapt(train, validation, "map")
    zero_shot = METHODS["zero_shot"]
    expected = zero_shot.fit(train, validation, zero_shot.config(), "map").scorer()
    found = method.scorer()
    ours, theirs = (
        each.score(each.embed_images(validation.images), each.embed_texts(validation.texts))
        for each in (found, expected)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert METHODS["drsl"].shared_space(method.config)


@pytest.mark.parametrize("start", ["semantic_matching", "zero_shot"])
def test_a_start_is_fitted_to_features(start):
    with pytest.raises(InputError, match=f"`start` {start} is fitted to features, and"):
        DRSLConfig(start=start, end_to_end=True)
