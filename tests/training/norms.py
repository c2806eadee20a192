"""Gradient norms: tests' trainings measure them where a test asks for the fixture `gradient_norms`.

To measure them, all losses are compiled once more, in a third of a short training's time.
"""

from contextlib import contextmanager

import pytest

from tfxmodal.training.loop import Trainer

MEASURE = Trainer._gradient_norms


@contextmanager
def _by(measure):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_gradient_norms", measure)
        yield


def measured():
    """A block in which trainings measure gradient norms."""
    return _by(MEASURE)


def not_measured():
    """A block in which they do not."""
    return _by(lambda *_: {})
