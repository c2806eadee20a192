import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.label_prediction import label_prediction


def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3)), rng.normal(size=(4, 3))


def oracle(image_logits, text_logits, labels):
    """Equations (9) to (11), one pair at a time."""
    total = 0.0
    for v, t, y in zip(image_logits, text_logits, labels, strict=True):
        p_v, p_t = np.exp(v) / np.exp(v).sum(), np.exp(t) / np.exp(t).sum()
        y = y / max(y.sum(), 1)
        total -= y @ (np.log(p_v) + np.log(p_t))
    return total / len(labels)


@pytest.mark.parametrize(
    "labels",
    [np.eye(3)[[0, 1, 2, 0]], np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]])],
    ids=["single-label", "multi-label"],
)
def test_equals_the_equations(labels):
    image_logits, text_logits = batch()
    loss = label_prediction(image_logits, text_logits, labels.astype(np.uint8))
    assert float(loss) == pytest.approx(oracle(image_logits, text_logits, labels), abs=1e-12)


def test_gradient_equals_central_differences():
    labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]])
    exact, numeric = tf.test.compute_gradient(
        lambda v, t: label_prediction(v, t, labels), [tf.constant(x) for x in batch()]
    )
    for e, n in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(e, n, atol=1e-6)


def test_large_logits_stay_finite():
    logits = tf.constant([[1e4, -1e4, 0.0]])
    assert float(label_prediction(logits, logits, [[0, 1, 0]])) == pytest.approx(4e4)
