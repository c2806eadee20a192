"""Binary codes in place of vectors of floats, in every method that has them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.gradient.test_distil import Taught
from tests.retrieval.codes import distances
from tests.training.test_experiment import dataset, settings
from tests.training.tiny import SMALL, OneReplica, batch_of, make_pairs, method_of
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.methods.binary import Binary
from tfxmodal.training import experiment
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.trained_run import load_run

OF_ITS_OWN = {"distil": {"teacher": Path("runs"), "hidden_units": (8,), "embedding_dim": 4}}
NAMES = [name for name, spec in METHODS.items() if issubclass(spec.config, Binary)]


def config(name, **fields):
    return METHODS[name].config(**SMALL.get(name, {}) | {"binary": 16} | fields)


@pytest.mark.parametrize("bits", [-8, 8, 20, 136])
@pytest.mark.parametrize("name", NAMES)
def test_a_code_of_other_bits_is_refused(name, bits):
    with pytest.raises(InputError, match=f"`binary` must be .*16 to 128; received {bits}: give"):
        config(name, binary=bits)
    with pytest.raises(InputError, match="`quantisation_weight` must be at least 0; received -1"):
        config(name, quantisation_weight=-1.0)


def test_these_methods_have_codes():
    floats = {"sdml", "deep_sm", "fgcrossnet", "mcsm", "dcca", "dccae", "cmdn", "ccl", "drsl"}
    assert set(NAMES) == {name for name, spec in METHODS.items() if spec.learner} - floats


@pytest.mark.parametrize("name", NAMES)
def test_the_scores_are_of_codes_and_every_encoder_learns_from_them(name):
    spec, train = METHODS[name], make_pairs(16)
    given, _ = spec.decide(config(name, **OF_ITS_OWN.get(name, {})), train, DataConfig())
    method = method_of(Taught if name == "distil" else spec.learner, train, given)
    scorer = method.scorer()
    images, texts = scorer.embed_images(train.images), scorer.embed_texts(train.texts)
    np.testing.assert_allclose(np.abs(images), 0.25, rtol=3e-7)  # float32's own steps are 1e-7.
    np.testing.assert_allclose(scorer.score(images, texts), 1 - distances(images, texts) / 8)
    bits = method.networks["image_bits"](train.images)
    np.testing.assert_array_equal(images > 0, bits.numpy() >= 0)
    rows = batch_of(train)["pairs"] | {"image_ids": tf.range(16)}
    batch = dict.fromkeys(method.streams(train, 0), rows)
    update = method.stages()[-1].updates[-1]
    with tf.GradientTape() as tape:
        terms = update.losses(batch, OneReplica())
        own = tf.add_n([term for key, term in terms.items() if key != "quantisation"])
    assert terms.keys() == update.weights.keys()
    assert np.isfinite([*terms.values()]).all()
    assert update.weights["quantisation"] == method.config.quantisation_weight
    layers = method.trainable_variables("image_encoder", "text_encoder")
    for gradient in tape.gradient(own, [variable.value for variable in layers]):
        assert np.isfinite(gradient).all() and np.any(gradient)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"distil"}))  # See test_teacher.
def test_a_run_of_codes_opens_as_it_was(name, tmp_path):
    data, given = dataset(), settings(name, binary=16, epochs=1)
    run = load_run(run_experiment(given, tmp_path, dataset=data, figures=False).folder)
    scorer = run.scorer()
    assert scorer.is_hamming and run.metrics["embedding_dim"] == 16
    found = experiment.evaluate_pairs(scorer, data.test)
    assert found["map_all"] == run.metrics["test"]["map_all"]
