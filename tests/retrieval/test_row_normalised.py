import numpy as np

from tfxmodal.retrieval.row_normalised import RowNormalisedScorer

RNG = np.random.default_rng(0)
IMAGES, TEXTS = (RNG.normal(size=(n, 6)).astype("float32") for n in (4, 5))
SCORER = object.__new__(RowNormalisedScorer)  # Its networks are not asked.


def oracle(queries, gallery):
    fused = np.zeros((len(queries), len(gallery)))
    for row, query in enumerate(queries):
        one, two = (gallery[:, half] @ query[half] for half in (slice(3), slice(3, 6)))
        brought = [(each - each.min()) / (each.max() - each.min()) for each in (one, two)]
        fused[row] = (brought[0] * two + brought[1] * one) / 2
    return fused


def test_each_query_is_normalised_by_itself():
    np.testing.assert_allclose(SCORER.text_scores(IMAGES, TEXTS), oracle(IMAGES, TEXTS), atol=1e-6)
    np.testing.assert_allclose(SCORER.image_scores(TEXTS, IMAGES), oracle(TEXTS, IMAGES), atol=1e-6)
    assert not SCORER.is_dot_product


def test_of_equal_spaces_the_order_is_theirs():
    images, texts = (np.tile(each[:, :3], 2) for each in (IMAGES, TEXTS))
    scores = images[:, :3] @ texts[:, :3].T
    fused = SCORER.text_scores(images, texts)
    spread = scores - scores.min(axis=1, keepdims=True)
    expected = spread / spread.max(axis=1, keepdims=True) * scores
    np.testing.assert_allclose(fused, expected, atol=1e-5)


def test_a_gallery_of_one_has_no_spread():
    np.testing.assert_array_equal(SCORER.text_scores(IMAGES, TEXTS[:1]), 0)
