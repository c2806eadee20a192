import numpy as np
import pytest

from tfxmodal.losses.distillation import distillation

RNG = np.random.default_rng(0)
SCORES, TAUGHT = RNG.normal(size=(2, 6, 4))


def test_equals_the_equation():
    expected = sum((SCORES[p, q] - TAUGHT[p, q]) ** 2 for p in range(6) for q in range(4)) / 24
    assert float(distillation(SCORES, TAUGHT)) == pytest.approx(expected, abs=1e-12)
    assert float(distillation(SCORES, SCORES)) == 0


def test_replicas_average_to_the_whole():
    parts = [distillation(SCORES[own], TAUGHT[own]) for own in (slice(0, 3), slice(3, 6))]
    assert np.mean(parts) == pytest.approx(float(distillation(SCORES, TAUGHT)), abs=1e-12)
