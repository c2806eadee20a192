import numpy as np
import pytest
import tensorflow as tf

from tests.methods.gradient.on_replicas import assert_two_replicas_train_as_one
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.distil import Distil, DistilConfig
from tfxmodal.methods.gradient.drsl import DRSL, DRSLConfig

CONFIG = DistilConfig(hidden_units=(8,), embedding_dim=4)


class Taught(Distil):
    """A student of a relation network with weights as they were drawn."""

    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        config = DRSLConfig(hidden_units=(8,), feature_dim=4, relation_units=8)
        self.learn_from(DRSL(inputs, config))


def test_its_loss_is_the_distance_to_the_scores_of_a_relation_network():
    train = make_pairs()
    method = method_of(Taught, train, CONFIG)
    scale, offset = method.networks["calibration"].trainable_variables
    scale.assign([[0.7]]), offset.assign([0.2])
    teacher, student = method._teacher, method.scorer()
    taught = teacher.score(teacher.embed_images(train.images), teacher.embed_texts(train.texts))
    cosines = student.score(student.embed_images(train.images), student.embed_texts(train.texts))
    expected = np.mean((0.7 * cosines.astype(float) + 0.2 - taught) ** 2)
    found = method.loss_terms(batch_of(train), OneReplica())
    assert float(found["distillation"]) == pytest.approx(expected, rel=1e-5)


def test_a_student_with_the_weights_of_its_teacher_has_nothing_to_learn():
    train = make_pairs()
    method, teacher = method_of(Distil, train, CONFIG), method_of(Distil, train, CONFIG)
    for name, network in teacher.networks.items():
        method.networks[name].set_weights(network.get_weights())
    method.learn_from(teacher)
    assert float(method.loss_terms(batch_of(train), OneReplica())["distillation"]) < 1e-12


def test_the_teacher_does_not_learn():
    train = make_pairs()
    method = method_of(Taught, train, CONFIG)
    with tf.GradientTape() as tape:
        loss = method.loss_terms(batch_of(train), OneReplica())["distillation"]
    watched = {variable.path for variable in method.trainable_variables()}
    assert {variable.path for network in method._taught_by for variable in network.variables}
    assert not any(v.path in watched for net in method._taught_by for v in net.variables)
    assert all(each is not None for each in tape.gradient(loss, method.trainable_variables()))


def test_two_replicas_train_as_one(two_replicas, tmp_path):
    assert_two_replicas_train_as_one(Taught, CONFIG, two_replicas, tmp_path)


def test_without_a_teacher_it_is_refused():
    with pytest.raises(InputError, match="`teacher` is not given.*such as runs/drsl-wikipedia"):
        METHODS["distil"].decide(CONFIG, make_pairs(), DataConfig())
