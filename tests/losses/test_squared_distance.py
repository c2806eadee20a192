import numpy as np
import pytest

from tfxmodal.losses.squared_distance import squared_distance


def test_equals_numpy_and_halves_average_to_the_whole():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 3))
    expected = np.mean([((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)])
    assert float(squared_distance(a, b)) == pytest.approx(expected)
    halves = [float(squared_distance(a[rows], b[rows])) for rows in (slice(3), slice(3, 6))]
    assert np.mean(halves) == pytest.approx(expected)
