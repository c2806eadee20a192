from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of, unpaired
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.sdml import SDML, SDMLConfig, decided

SIZES = {"hidden_units": (8, 7), "embedding_dim": 4}


def small(train=None, **config) -> SDML:
    keras.utils.set_random_seed(0)
    return method_of(SDML, train or make_pairs(), SDMLConfig(**SIZES | config))


def some_labelled():
    """One label, several, and none."""
    pairs = make_pairs(12)
    pairs.labels[::4] = 0
    assert set(pairs.labels.sum(axis=1)) >= {0, 1, 2}
    return pairs


def terms(method, pairs, stream="pairs") -> dict:
    batch = {stream: batch_of(pairs)["pairs"]}
    updates = [update for update in method.updates() if stream in ("pairs", f"{update.name}s")]
    return {k: v for update in updates for k, v in update.losses(batch, OneReplica()).items()}


def test_defaults_are_the_released_codes():
    config = SDMLConfig()
    assert (config.hidden_units, config.embedding_dim) == ((1024, 1024), 512)
    assert (config.alpha, config.text_rate, config.as_released) == (0.5, 2, False)
    image, text = (update.optimizer(1e-4) for update in small().updates())
    assert [float(each.learning_rate) for each in (image, text)] == pytest.approx([1e-4, 2e-4])
    assert image.get_config()["beta_1"] == text.get_config()["beta_1"] == 0.5


@pytest.mark.parametrize("as_released", [False, True])
def test_the_terms_are_the_objective(as_released):
    method, pairs = small(as_released=as_released, alpha=0.3), some_labelled()
    (w,) = method.networks["classifier"].get_weights()
    expected = {}
    for kind, x in (("image", pairs.images), ("text", pairs.texts)):
        weights = method.networks[f"{kind}_autoencoder"].get_weights()
        codes, decoded = [], x
        for number, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            decoded = decoded @ kernel + bias
            if number not in (2, 5):
                decoded = np.maximum(decoded, 0)
            elif number == 2 or as_released:
                decoded = decoded / np.linalg.norm(decoded, axis=1, keepdims=True)
            codes.append(decoded)
        distances = []
        for z, y in zip(codes[2], pairs.labels, strict=True):
            if y.any():
                target = y if as_released else y / np.sqrt(y.sum())
                distances.append(np.linalg.norm(z @ w - target))
        expected[f"{kind}_labels"] = np.mean(distances)
        errors = [np.linalg.norm(d - row) for d, row in zip(codes[5], x, strict=True)]
        expected[f"{kind}_reconstruction"] = np.mean(errors)
    found = {name: float(value) for name, value in terms(method, pairs).items()}
    assert found == pytest.approx(expected, rel=1e-5)
    assert [list(update.weights.values()) for update in method.updates()] == 2 * [[0.7, 0.3]]


def test_the_directions_of_the_classes_are_orthonormal_and_stay():
    method = small()
    classifier = method.networks["classifier"]
    (w,) = classifier.get_weights()
    np.testing.assert_allclose(classifier(w.T), np.eye(3), atol=1e-6)  # w_c is the target's code.
    trained = {id(variable) for update in method.updates() for variable in update.variables}
    assert id(classifier.weights[0]) not in trained


def test_more_classes_than_dimensions_are_refused():
    with pytest.raises(InputError, match="`embedding_dim` must be at least .* 3, .*received 2"):
        decided(SDMLConfig(embedding_dim=2), make_pairs(), DataConfig())


def test_the_modalities_are_trained_apart():
    method, pairs = small(), make_pairs(8)
    with tf.GradientTape(persistent=True) as tape:
        found = terms(method, pairs)
    image, text = method.updates()
    for own, other in ((image, text), (text, image)):
        total = [found[name] for name in own.weights]
        for update in (own, other):
            variables = [variable.value for variable in update.variables]
            reached = [gradient is not None for gradient in tape.gradient(total, variables)]
            assert all(reached) if update is own else not any(reached)


def test_a_batch_without_a_label_trains_the_reconstruction_alone():
    method, pairs = small(), make_pairs(8)
    pairs.labels[:] = 0
    with tf.GradientTape() as tape:
        found = terms(method, pairs)
        total = found["image_labels"] + found["image_reconstruction"]
    encoder = [variable.value for variable in method.networks["image_encoder"].trainable_variables]
    gradients = tape.gradient(total, encoder)
    assert float(found["image_labels"]) == 0 and float(found["image_reconstruction"]) > 0
    assert all(np.isfinite(each).all() for each in gradients) and np.any(gradients[0])


def test_images_and_texts_need_not_be_paired():
    train = unpaired()
    METHODS["sdml"].check(train)
    method = small(train)
    streams = method.streams(train, seed=0)
    assert {name: len(rows) for name, rows in streams.items()} == {"images": 40, "texts": 64}
    pairs = make_pairs(12)
    apart = terms(method, pairs, "images") | terms(method, pairs, "texts")
    assert apart == terms(method, pairs)


def test_without_any_label_it_is_refused():
    with pytest.raises(InputError, match="sdml learns from labels"):
        METHODS["sdml"].check(replace(make_pairs(), labels=np.zeros((64, 3), "uint8")))
