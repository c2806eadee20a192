import tracemalloc
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one
from tests.methods.gradient.test_deep_sm import single
from tests.methods.gradient.test_drsl_end_to_end import make_towers, raw_pairs
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import evaluate_pairs, selection_score
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods.gradient.mcsm import MCSM, SHARES, MCSMConfig, spread
from tfxmodal.methods.gradient.mcsm_config import decided, reads

SIZES = {"image_units": 6, "text_units": 5, "embedding_dim": 4, "dropout": 0.0}


def in_parts(n: int = 15) -> Pairs:
    """Maps of four locations, and token ids."""
    pairs = raw_pairs(n)
    maps = np.random.default_rng(0).normal(size=(n, 4, 3)) + 2 * pairs.labels[:, None]
    return pairs.with_features(maps.astype("float32"))


def made(train=None, **config) -> MCSM:
    """MCSM on features, or on maps and words where the pairs have them."""
    keras.utils.set_random_seed(0)
    train = train or single(18)
    locations = "map" if train.images.ndim == 3 else "global"
    config = MCSMConfig(locations=locations, **SIZES | config)
    networks = {"text": make_towers()["text"]} if locations == "map" else None
    return method_of(MCSM, train, config, kinds=reads(config), networks=networks)


def units(method, train):
    """Of each space the unit vectors of images and texts."""
    images, texts = (
        method.networks[f"{kind}_spaces"](rows, training=False).numpy()
        for kind, rows in (("image", train.images), ("text", train.texts))
    )
    return [(images[:, space], texts[:, space]) for space in range(len(method.weights))]


@pytest.mark.parametrize("make", [in_parts, make_pairs], ids=["in_parts", "several_labels"])
def test_each_space_ranks_a_pair_above_its_parts_with_other_classes(make):
    train = make(15)
    method = made(train, margin=0.3)
    terms = method.loss_terms(batch_of(train), OneReplica())
    assert list(terms) == ["image_space", "text_space"] and method.weights == dict.fromkeys(
        terms, 1
    )
    share = train.labels.astype(int) @ train.labels.T.astype(int) > 0
    for term, (u, v) in zip(terms.values(), units(method, train), strict=True):
        np.testing.assert_allclose(np.linalg.norm([u, v], axis=2), 1, rtol=1e-5)
        expected = 0.0
        for i in range(15):
            for wrong in (v[~share[i]] @ u[i], u[~share[i]] @ v[i]):
                expected += (
                    np.maximum(0.3 - u[i] @ v[i] + wrong, 0).mean() / 15 if len(wrong) else 0
                )
        assert float(term) == pytest.approx(expected, rel=1e-4)


def test_the_margin_kept_there_is_no_loss():
    train = in_parts()
    method = made(train, margin=1e-6)
    corners = tf.one_hot(tf.constant(train.labels.argmax(axis=1)), 4)
    for kind in ("image", "text"):  # Each class at a corner of its own.
        method.networks[f"{kind}_spaces"] = lambda rows, training: tf.stack([corners] * 2, axis=1)
    assert [float(term) for term in method.loss_terms(batch_of(train), OneReplica()).values()] == [
        0,
        0,
    ]


def test_validation_chooses_constants_that_fuse_the_spaces():
    train = make_pairs(40)
    method = made(train)
    method.settle(train)
    (image, text), found = units(method, train), {}
    scores, scorer = [u @ v.T for u, v in (image, text)], method.scorer()
    fused = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
    for share in SHARES:
        weights = share / scores[0].std(), (1 - share) / scores[1].std()
        weights = np.array(weights) / sum(weights)
        made_up = weights[0] * scores[0] + weights[1] * scores[1]
        scorer.score = lambda *_, fused=made_up: fused
        found[share] = selection_score(evaluate_pairs(scorer, train)), made_up
    best = max(score for score, _ in found.values())
    chosen = [score for score, made_up in found.values() if np.allclose(made_up, fused, atol=1e-5)]
    assert chosen == [best] and best > min(score for score, _ in found.values())
    others = method.other_scorers()
    assert list(others) == ["image_space", "text_space", "row_normalised"]
    for name, expected in zip(others, scores, strict=False):
        u, v = others[name].embed_images(train.images), others[name].embed_texts(train.texts)
        np.testing.assert_allclose(others[name].score(u, v), expected, atol=1e-5)
        assert selection_score(evaluate_pairs(others[name], train)) <= best


@pytest.mark.parametrize("n, m", [(40, 40), (7, 30)])
@pytest.mark.parametrize("apart", [1.0, 1e-3])
def test_the_spread_of_all_scores_is_had_without_them(n, m, apart):
    random = np.random.default_rng(0)
    u, v = (1 + apart * random.normal(size=(rows, 5)) for rows in (n, m))
    assert spread(u, v) == pytest.approx(np.std(u @ v.T), rel=1e-7)
    assert spread(np.ones((n, 2)), np.ones((m, 2))) == pytest.approx(0, abs=1e-7)


def test_choosing_constants_holds_no_matrix_of_all_scores():
    n = 3000
    u, v = np.random.default_rng(0).normal(size=(2, n, 4)).astype(np.float32)
    tracemalloc.start()
    spread(u, v)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n * n


@pytest.mark.parametrize("space", ["image", "text"])
def test_one_space_is_learned_alone(space):
    train = single(18)
    method = made(train, spaces=space)
    assert list(method.loss_terms(batch_of(train), OneReplica())) == [f"{space}_space"]
    method.settle(train)
    ((u, v),) = units(method, train)
    np.testing.assert_allclose(method.scorer().embed_images(train.images), u, atol=1e-6)
    np.testing.assert_allclose(method.scorer().embed_texts(train.texts), v, atol=1e-6)
    assert method.other_scorers() == {}


def test_padding_and_the_width_of_a_batch_change_nothing():
    train = in_parts()
    scorer = made(train).scorer()
    vectors = scorer.embed_texts(train.texts)
    np.testing.assert_allclose(scorer.embed_texts(train.texts[:, :5]), vectors, atol=1e-6)
    unknown = scorer.embed_texts(np.array([[1, 1, 0, 0, 0, 0, 0]], np.int32))
    assert np.isfinite(unknown).all()


def test_word_vectors_are_the_encoders_and_learn():
    train = in_parts()
    method = made(train)
    table = next(v for v in method.trainable_variables() if "vectors/embeddings" in v.path)
    np.testing.assert_array_equal(
        table, make_towers()["text"].get_layer("vectors").get_weights()[0]
    )
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(method.loss_terms(batch_of(train), OneReplica()).values()))
    assert np.abs(tf.convert_to_tensor(tape.gradient(loss, table.value))).max() > 0


def test_features_are_sequences_of_one_step():
    train = single(6)
    for kind, rows in (("image", train.images), ("text", train.texts)):
        np.testing.assert_array_equal(made(train)._attention[kind](rows), 1)


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    config = MCSMConfig(locations="global", spaces="text", **SIZES)  # Both take twice the time.
    assert_two_replicas_train_as_one(MCSM, config, two_replicas, tmp_path)


def test_what_is_read_is_decided_by_what_there_is():
    files = replace(make_pairs(2), images=np.array(["a.jpg", "b.jpg"]), texts=[("a",), ("b",)])
    config, told = decided(MCSMConfig(), files, DataConfig())
    assert config.locations == "map" and told is None
    assert reads(config) == {"image": "map", "text": "words"}
    for other in ({"image_encoder": "ResNet50"}, {"text_encoder": "minilm:folder"}):
        assert decided(MCSMConfig(), files, DataConfig(**other))[0].locations == "global"
    config, told = decided(MCSMConfig(), make_pairs(2), DataConfig())
    assert reads(config) == {"image": "global", "text": "global"} and "MCSM-global" in told
    assert decided(MCSMConfig(locations="global"), files, DataConfig())[0] == config
    with pytest.raises(InputError, match="`locations` map reads image files .* or `locations` glo"):
        decided(MCSMConfig(locations="map"), make_pairs(2), DataConfig())
    with pytest.raises(InputError, match="`text_scaling` unit is of ready features.* leave it out"):
        decided(MCSMConfig(text_scaling="unit"), files, DataConfig())


def test_what_cannot_be_told_apart_is_refused():
    train = replace(make_pairs(6), labels=np.ones((6, 1), np.uint8))
    with pytest.raises(InputError, match="must separate .* 1 class.*: give rows of at least two"):
        made().streams(train, 0)
    with pytest.raises(InputError, match="`batch_size` must be at least 2.*received 1: raise it"):
        made().check_batch(1)
