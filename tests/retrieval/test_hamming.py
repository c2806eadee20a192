"""Scores of binary codes: whole numbers of bits, alike in NumPy, in graphs and packed."""

import numpy as np
import pytest
import tensorflow as tf

from tests.retrieval.codes import GivenCodes, codes, distances


@pytest.mark.parametrize("bits", [24, 128])
def test_the_cosine_of_codes_is_one_less_twice_the_share_of_bits_that_differ(bits):
    scorer, images, texts = GivenCodes(), codes(5, bits, 0), codes(7, bits, 1)
    expected = 1 - 2 * distances(images, texts) / bits
    pairs, graph = expected.diagonal(), tf.function(scorer.graph_score)
    for found, wanted in (
        (images @ texts.T, expected),
        (scorer.score(images, texts), expected),
        (graph(tf.constant(images), tf.constant(texts)), expected),
        (scorer.score_pairs(images, texts[:5]), pairs),
        (scorer.graph_score_pairs(tf.constant(images), tf.constant(texts[:5])), pairs),
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_equal_distances_are_equal_scores_and_go_by_row():
    images, texts = codes(3, 40, 0), codes(500, 40, 1)
    rows, _ = GivenCodes().top_k(images, texts, 500)
    order = np.argsort(distances(images, texts), axis=1, kind="stable")
    np.testing.assert_array_equal(rows, order)


def test_packed_codes_are_the_bytes_of_numpy():
    given = codes(6, 40, 0)
    packed = GivenCodes().graph_images(tf.constant(given))
    np.testing.assert_array_equal(packed, np.packbits(given > 0, axis=1))
