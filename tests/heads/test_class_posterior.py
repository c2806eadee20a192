import keras
import numpy as np
import pytest

from tfxmodal.heads.class_posterior import posterior_encoders
from tfxmodal.heads.linear import linear_projection

RANDOM = np.random.default_rng(0)
PLACES = RANDOM.standard_normal((30, 3)).astype(np.float32)
CLASSES = np.eye(4, dtype=np.float32)[np.arange(30) % 4]
CLASSES[5] = [0.5, 0.5, 0, 0]
MEAN, DIRECTIONS = RANDOM.standard_normal(6), RANDOM.standard_normal((6, 3))
FEATURES = RANDOM.standard_normal((11, 6)).astype(np.float32)


def networks(neighbours: int) -> dict[str, keras.Model]:
    projections = {
        f"{kind}_encoder": linear_projection(MEAN, DIRECTIONS) for kind in ("image", "text")
    }
    return posterior_encoders(projections, PLACES, CLASSES, neighbours)


def oracle(features, neighbours: int) -> np.ndarray:
    """Each row by itself."""
    found = []
    for z in (features - MEAN) @ DIRECTIONS:
        distances = np.linalg.norm(z - PLACES, axis=1)
        nearest = np.argsort(distances)[:neighbours]
        weights = 1 / (1 + np.exp(distances[nearest]))
        found.append(weights @ CLASSES[nearest] / weights.sum())
    np.testing.assert_allclose(np.sum(found, axis=1), 1, atol=1e-6)
    return np.array(found)


@pytest.mark.parametrize("neighbours", [1, 5, 30, 100])
def test_products_are_those_of_the_posteriors_of_the_nearest_points(neighbours):
    images, texts = (network(FEATURES).numpy() for network in networks(neighbours).values())
    expected = oracle(FEATURES, neighbours)
    for embedded in (images, texts):
        np.testing.assert_allclose(embedded[:, :4], expected, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(images @ texts.T, expected @ expected.T, atol=1e-5)


def test_points_far_away_have_classes_too():
    """There sigmoid(-distance) is 0 in every precision."""
    far = networks(5)["image_encoder"](FEATURES + 1e4).numpy()
    np.testing.assert_allclose(far[:, :4].sum(axis=1), 1, rtol=1e-5)


def test_it_is_saved_with_its_points(tmp_path):
    ours = networks(5)["text_encoder"]
    ours.save(tmp_path / "posteriors.keras")
    loaded = keras.saving.load_model(tmp_path / "posteriors.keras")
    np.testing.assert_array_equal(loaded(FEATURES), ours(FEATURES))
