"""Binary codes in place of vectors of floats, in every method that has them."""

import numpy as np
import pytest
import tensorflow as tf

from tests.retrieval.codes import distances
from tests.training.tiny import SMALL, OneReplica, batch_of, make_pairs, method_of
from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS
from tfxmodal.methods.binary import Binary

NAMES = [name for name, spec in METHODS.items() if issubclass(spec.config, Binary)]


def config(name, **fields):
    return METHODS[name].config(**SMALL[name] | {"binary": 16} | fields)


@pytest.mark.parametrize("bits", [-8, 8, 20, 136])
@pytest.mark.parametrize("name", NAMES)
def test_a_code_of_other_bits_is_refused(name, bits):
    with pytest.raises(InputError, match=f"`binary` must be .*16 to 128; received {bits}: give"):
        config(name, binary=bits)
    with pytest.raises(InputError, match="`quantisation_weight` must be at least 0; received -1"):
        config(name, quantisation_weight=-1.0)


def test_these_methods_have_codes():
    assert sorted(NAMES) == ["acmr", "dscmr", "mrl", "scl"]


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_are_of_codes_and_every_encoder_learns_from_them(name):
    train = make_pairs(16)
    method = method_of(METHODS[name].learner, train, config(name))
    scorer = method.scorer()
    images, texts = scorer.embed_images(train.images), scorer.embed_texts(train.texts)
    np.testing.assert_allclose(np.abs(images), 0.25, rtol=3e-7)  # float32's own steps are 1e-7.
    np.testing.assert_allclose(scorer.score(images, texts), 1 - distances(images, texts) / 8)
    bits = method.networks["image_bits"](train.images)
    np.testing.assert_array_equal(images > 0, bits.numpy() >= 0)
    batch = dict.fromkeys(method.streams(train, 0), batch_of(train)["pairs"])
    with tf.GradientTape() as tape:
        terms = method.loss_terms(batch, OneReplica())
        own = tf.add_n([terms[key] for key in method.weights if key != "quantisation"])
    assert terms.keys() == method.weights.keys()
    assert method.weights["quantisation"] == method.config.quantisation_weight
    layers = method.trainable_variables("image_encoder", "text_encoder")
    for gradient in tape.gradient(own, [variable.value for variable in layers]):
        assert np.isfinite(gradient).all() and np.any(gradient)
