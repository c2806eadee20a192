import numpy as np
import pytest

from tests.evaluation.test_protocol import Bilinear, split  # noqa: F401
from tfxmodal.evaluation.hubness import hubness
from tfxmodal.evaluation.protocol import evaluate


def skewness(times) -> float:
    d = np.array(times, float) - np.mean(times)
    return np.mean(d**3) / np.mean(d**2) ** 1.5


def test_equals_the_equation():
    found = np.array([[0, 1], [0, 2], [0, 3], [0, 1]])
    assert hubness(found, 6) == pytest.approx(skewness([4, 2, 1, 1, 0, 0]))


def test_items_that_are_found_equally_often_have_none():
    assert np.isnan(hubness(np.array([[0, 1], [2, 3]]), 4))


def test_it_is_of_single_captions_and_their_images(split):  # noqa: F811
    pairs, captions = split
    scores = Bilinear().score(pairs.images, captions.embeddings)
    for way, of_way in (("image_to_text", scores), ("text_to_image", scores.T)):
        first = np.argsort(-of_way, axis=1, kind="stable")[:, :10]
        times = [np.count_nonzero(first == item) for item in range(of_way.shape[1])]
        assert evaluate(Bilinear(), *split)["hubness"][way] == pytest.approx(skewness(times))
