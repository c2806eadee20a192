import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxmodal.retrieval.ordering import descending_bits
from tfxmodal.retrieval.scorer import Scorer


class Distance(Scorer):
    """Minus the L1 distance, rounded so that there are many ties."""

    def embed_images(self, features):
        return features

    embed_texts = embed_images

    def score(self, images, texts):
        return -np.abs(images[:, None] - texts[None]).sum(-1).round().astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_top_k_is_a_stable_sort_cut(seed, n, m, k):
    rng = np.random.default_rng(seed)
    images, texts = rng.standard_normal((n, 3)), rng.standard_normal((m, 3))
    scorer = Distance()
    scores = scorer.score(images, texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfxmodal.retrieval.scorer.BLOCK", 12)  # Several blocks.
        both = scorer.top_k(images, texts, k), scorer.top_k_images(texts, images, k)
    for matrix, (found, values) in zip((scores, scores.T), both, strict=True):
        expected = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(values, np.take_along_axis(matrix, expected, axis=1))


def test_top_k_of_no_queries():
    found, values = Distance().top_k(np.zeros((0, 3)), np.zeros((4, 3)), k=6)
    assert found.shape == values.shape == (0, 4)


def test_score_pairs_is_the_diagonal():
    rng = np.random.default_rng(0)
    images, texts = rng.standard_normal((2, 5, 3))
    scorer = Distance()
    np.testing.assert_array_equal(
        scorer.score_pairs(images, texts), np.diag(scorer.score(images, texts))
    )


def test_listed_pairs_are_those_of_the_matrix():
    rng = np.random.default_rng(0)
    images, texts = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    rows = rng.integers(0, (4, 5), (20, 2)).T
    scorer = Distance()
    listed = scorer.score_listed(images, texts, *rows)
    np.testing.assert_array_equal(listed, scorer.score(images, texts)[*rows])


@given(
    st.sampled_from([np.float32, np.float64]),
    st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=20),
)
def test_bits_keep_order_and_ties(dtype, values):
    scores = np.array(values, dtype)
    bits = descending_bits(scores)
    assert bits.dtype.itemsize == scores.dtype.itemsize
    np.testing.assert_array_equal(np.less.outer(bits, bits), np.greater.outer(scores, scores))
