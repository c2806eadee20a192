import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.class_contrastive import class_contrastive
from tfxmodal.losses.pair_batch import PairBatch

LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], np.float32)


def batch(n=6, dim=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), rng.normal(size=(n, dim))


def oracle(images, texts, labels, temperature=0.5):
    """Equation (12), one point at a time."""
    points = [z / np.linalg.norm(z) for z in [*images, *texts]]
    labels = np.concatenate([labels, labels]).astype(int)
    losses = []
    for i, anchor in enumerate(points):
        positives, negatives = [], []
        for j, point in enumerate(points):
            if j != i:
                side = positives if labels[i] @ labels[j] > 0 else negatives
                side.append(np.exp(anchor @ point / temperature))
        if positives and negatives:
            losses.append(-np.log(sum(positives) / sum(negatives)))
    return np.mean(losses) if losses else 0.0


@pytest.mark.parametrize(
    "labels",
    [LABELS, np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 2]], np.eye(6, dtype=np.float32)],
    ids=["multi-label", "single-label", "alone in its class"],
)
def test_equals_the_equation(labels):
    images, texts = batch()
    loss = class_contrastive(PairBatch.gathered(images, texts, labels))
    assert float(loss) == pytest.approx(oracle(images, texts, labels), abs=1e-12)


def test_gradient_equals_central_differences():
    images, texts = map(tf.constant, batch())
    exact, numeric = tf.test.compute_gradient(
        lambda i, t: class_contrastive(PairBatch.gathered(i, t, LABELS)), [images, texts]
    )
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


def test_replicas_with_unequal_counts_average_to_the_whole():
    images, texts = map(tf.constant, batch())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([images, texts])
        whole = class_contrastive(PairBatch.gathered(images, texts, LABELS))
        parts = []
        for s in (0, 3):  # The second half holds the pair without labels.
            own = slice(s, s + 3)
            pairs = PairBatch(images[own], texts[own], images, texts, s, LABELS[own], LABELS)
            parts.append(class_contrastive(pairs))
        mean = tf.reduce_mean(parts)
    np.testing.assert_allclose(mean, whole, atol=1e-12)
    for a, b in zip(
        tape.gradient(mean, [images, texts]), tape.gradient(whole, [images, texts]), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    "labels", [np.zeros((6, 3)), np.ones((6, 3))], ids=["no positives", "no negatives"]
)
def test_undefined_batches_add_nothing(labels):
    images, texts = map(tf.constant, batch())
    with tf.GradientTape() as tape:
        tape.watch([images, texts])
        loss = class_contrastive(PairBatch.gathered(images, texts, labels))
    assert float(loss) == 0
    for gradient in tape.gradient(loss, [images, texts]):
        np.testing.assert_array_equal(gradient, 0)
