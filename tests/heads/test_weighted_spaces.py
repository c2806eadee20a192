import numpy as np
import pytest

from tfxmodal.heads.weighted_spaces import WeightedSpaces


def units(seed: int):
    spaces = np.random.default_rng(seed).normal(size=(5, 2, 3)).astype("float32")
    return spaces / np.linalg.norm(spaces, axis=2, keepdims=True)


@pytest.mark.parametrize("weights", [None, (3.0, 1.0), (0.0, 2.0)])
def test_the_product_is_the_weighted_sum_of_products(weights):
    layer, images, texts = WeightedSpaces(), units(0), units(1)
    layer.build((None, 2, 3))
    if weights:
        layer.weigh(weights)
    x, y = np.asarray(layer(images)), np.asarray(layer(texts))
    shares = np.array(weights or (1, 1)) / sum(weights or (1, 1))
    expected = sum(w * images[:, k] @ texts[:, k].T for k, w in enumerate(shares))
    np.testing.assert_allclose(x @ y.T, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-6)
    assert layer.trainable_variables == []
