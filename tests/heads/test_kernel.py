import keras
import numpy as np
import pytest
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel

from tfxmodal.heads.kernel import Kernel, kernel_projection

RNG = np.random.default_rng(0)
ROWS, LANDMARKS = RNG.standard_normal((9, 4)), RNG.standard_normal((5, 4))
MEAN, DIRECTIONS = RNG.random(5), RNG.standard_normal((5, 2))


@pytest.mark.parametrize("gamma", [None, 0.3])
@pytest.mark.parametrize("away", [0, 1e3])
def test_rows_are_projected_by_their_kernel_values(gamma, away):
    values = linear_kernel(ROWS, LANDMARKS) if gamma is None else rbf_kernel(ROWS, LANDMARKS, gamma)
    expected = (values - MEAN) @ DIRECTIONS
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    model = kernel_projection(np.full(4, away), LANDMARKS, gamma, MEAN, DIRECTIONS)
    np.testing.assert_allclose(
        model(np.float32(ROWS + away)), expected, atol=2e-3 if away else 1e-5
    )


def test_a_row_is_1_like_itself():
    layer = Kernel(5, gamma=100.0)
    layer.build((None, 4))
    layer.set_weights([LANDMARKS])
    itself = np.diag(layer(np.float32(LANDMARKS)))
    np.testing.assert_allclose(itself, 1, atol=1e-3)
    assert itself.max() <= 1


def test_it_is_saved_and_loaded(tmp_path):
    model = kernel_projection(np.ones(4), LANDMARKS, 0.3, MEAN, DIRECTIONS)
    assert not model.layers[2].trainable_variables
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(np.float32(ROWS)), model(np.float32(ROWS)))
