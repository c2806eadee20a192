import keras
import numpy as np
import pytest

from tfxmodal.retrieval.cosine import CosineScorer


def tower(width: int, dim: int = 4, dtype: str = "float32") -> keras.Model:
    inputs = keras.Input([width])
    hidden = keras.layers.Dense(dim, dtype=dtype)(inputs)
    outputs = keras.layers.UnitNormalization(dtype=dtype)(hidden)
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    return tower(6), tower(9)


class Recorded:
    """Features that are only read by slices, as those on disk are."""

    def __init__(self, rows):
        self.rows, self.shape, self.reads = rows, rows.shape, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows):
        self.reads.append(len(self.rows[rows]))
        return self.rows[rows]


def test_scores_are_cosines(models):
    rng = np.random.default_rng(0)
    image_features = rng.standard_normal((7, 6), dtype=np.float32)
    text_features = rng.standard_normal((5, 9), dtype=np.float32)
    scorer = CosineScorer(*models, batch_size=3)
    images, texts = scorer.embed_images(image_features), scorer.embed_texts(text_features)
    z, y = models[0].layers[1](image_features).numpy(), models[1].layers[1](text_features).numpy()
    norms = np.linalg.norm(z, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    scores = scorer.score(images, texts)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, z @ y.T / norms, atol=1e-6)
    np.testing.assert_allclose(
        scorer.score_pairs(images[:5], texts), np.diag(scores[:5]), atol=1e-6
    )


def test_embeds_in_batches_with_one_trace():
    model, traces = tower(6), []
    call = model.call
    model.call = lambda *args, **kwargs: traces.append(1) or call(*args, **kwargs)
    features = Recorded(np.random.default_rng(0).standard_normal((10, 6), dtype=np.float32))
    scorer = CosineScorer(model, tower(9), batch_size=4)
    embeddings = scorer.embed_images(features)
    assert features.reads == [4, 4, 2]
    assert len(traces) == 1
    np.testing.assert_allclose(embeddings, model(features.rows), atol=1e-6)


def test_uses_the_weights_of_the_moment():
    model = tower(6)
    features = np.random.default_rng(0).standard_normal((3, 6))
    scorer = CosineScorer(model, tower(9))
    before = scorer.embed_images(features)
    model.layers[1].kernel.assign(-model.layers[1].kernel)
    np.testing.assert_allclose(scorer.embed_images(features), -before, atol=1e-6)


def test_no_rows(models):
    assert CosineScorer(*models).embed_images(np.zeros((0, 6), np.float32)).shape == (0, 4)


def test_embeddings_of_a_bfloat16_model_are_float32():
    model = tower(6, dtype="mixed_bfloat16")
    embeddings = CosineScorer(model, model).embed_images(np.ones((2, 6), np.float32))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=0.01)
