import keras
import numpy as np
import pytest

from tfxmodal.heads.autoencoder import autoencoder

X = np.random.default_rng(0).normal(size=(7, 6))


@pytest.mark.parametrize("normalize", [False, True])
def test_it_gives_the_code_the_features_as_read_and_their_reconstruction(normalize):
    features = keras.Input([6])
    scaled = keras.layers.Rescaling(3.0)(features)
    code = keras.layers.Dense(2)(scaled)
    model = autoencoder(features, scaled, code, (8, 5), "tanh", normalize)
    kernel, bias, *decoder = model.get_weights()
    assert [w.shape for w in decoder[::2]] == [(2, 5), (5, 8), (8, 6)]
    rows = expected_code = 3 * X @ kernel + bias
    for number, (weight, shift) in enumerate(zip(decoder[::2], decoder[1::2], strict=True)):
        rows = rows @ weight + shift
        rows = np.tanh(rows) if number < 2 else rows
    if normalize:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for found, expected in zip(model(X), (expected_code, 3 * X, rows), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
