import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score

from tests.training.tiny import make_pairs
from tfxmodal.methods.gradient.encoder_classifier import EncoderClassifier
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy


def pairs_of(kind: str, n: int = 64):
    """Rows of one class each, or of several."""
    pairs = make_pairs(n)
    if kind == "single":
        pairs.labels[:] = np.eye(3)[np.arange(n) % 3]
    return pairs


def classifier(pairs, column="images", **options) -> EncoderClassifier:
    width = getattr(pairs, column).shape[1]
    tower = keras.Sequential([keras.Input([width]), keras.layers.Dense(8, activation="relu")])
    return EncoderClassifier(pairs, column, tower, **options)


@pytest.mark.parametrize("kind", ["single", "multiple"])
@pytest.mark.parametrize("column", ["images", "texts"])
def test_the_loss_is_the_cross_entropy(kind, column):
    pairs = pairs_of(kind)
    learner = classifier(pairs, column, dropout=0.0)
    rows = getattr(pairs, column)
    batch = {"pairs": {column: tf.constant(rows), "labels": tf.constant(pairs.labels, tf.float32)}}
    loss = float(learner.loss_terms(batch, None)["cross_entropy"])

    logits, labels = np.float64(learner.logits(rows)), pairs.labels
    if kind == "single":
        expected = -(logits * labels).sum(1) + np.log(np.exp(logits).sum(1))
    else:
        p = 1 / (1 + np.exp(-logits))
        expected = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).sum(1)
    assert learner.exclusive == (kind == "single")
    assert loss == pytest.approx(expected.mean(), rel=1e-5)


def test_what_validation_measures():
    pairs = pairs_of("single")
    learner = classifier(pairs)
    logits = learner.logits(pairs.images)
    score, named = learner.measure(pairs)
    assert named == {"accuracy": score}
    assert score == np.mean(logits.argmax(1) == pairs.labels.argmax(1))

    pairs = pairs_of("multiple")
    pairs.labels[:, 1] = 0  # No row of this class: it has no average precision.
    learner = classifier(pairs)
    rows = pairs.labels.any(axis=1)
    logits, labels = learner.logits(pairs.images)[rows], pairs.labels[rows]
    score, named = learner.measure(pairs)
    precisions = [average_precision_score(labels[:, c], logits[:, c]) for c in (0, 2)]
    assert named == {"class_map": score} and score == pytest.approx(np.mean(precisions))


def test_dropout_and_the_largest_norm(tmp_path):
    """The limit holds on every replica's steps; dropout is of training alone."""
    pairs = pairs_of("single")
    strategy = make_strategy("CPU:0")
    with strategy.scope():
        learner = classifier(pairs, dropout=0.5, max_norm=0.1)
        config = TrainingConfig(epochs=2, batch_size=16, learning_rate=0.1)
        trainer = Trainer(learner, pairs, config, strategy, tmp_path)
    network = learner.networks["classifier"]
    one, other = (network(pairs.images, training=True).numpy() for _ in range(2))
    assert np.abs(one - other).max() > 0.01
    list(trainer.epochs(lambda: learner.measure(pairs)))
    norms = np.linalg.norm(network.layers[-1].kernel.numpy(), axis=0)
    assert norms == pytest.approx([0.1] * 3, rel=1e-4)


def test_it_learns_on_two_replicas(two_replicas, tmp_path):
    pairs = pairs_of("single")
    with two_replicas.scope():
        learner = classifier(pairs, dropout=0.2, max_norm=3.0)
        config = TrainingConfig(epochs=30, batch_size=16, learning_rate=0.05)
        trainer = Trainer(learner, pairs, config, two_replicas, tmp_path)
    first, *_, last = list(trainer.epochs(lambda: learner.measure(pairs)))
    assert last.losses["cross_entropy"] < 0.8 * first.losses["cross_entropy"]
    assert trainer.state.best_score > 0.8


@pytest.mark.parametrize("kind", ["single", "multiple"])
def test_rows_without_a_label_are_left_out(kind):
    pairs, known = pairs_of(kind), np.flatnonzero(np.arange(64) % 4)
    pairs.labels[::4] = 0
    learner = classifier(pairs)
    assert learner.exclusive == (kind == "single")
    np.testing.assert_array_equal(learner.streams(pairs, 0)["pairs"], known)
    assert learner.measure(pairs) == learner.measure(pairs.take(known))
