from dataclasses import replace

import numpy as np
import pytest

from tests.training.tiny import make_pairs
from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS

FITTED = {name for name, spec in METHODS.items() if spec.fit} - {"random", "zero_shot"}
"""Those that learn from features."""


@pytest.mark.parametrize("side", ["images", "texts"])
@pytest.mark.parametrize(
    ("method", "fields"), [*((name, {}) for name in sorted(FITTED)), ("kcca", {"kernel": "linear"})]
)
def test_features_that_are_all_the_same_are_told(method, fields, side):
    pairs, spec = make_pairs(30), METHODS[method]
    same = replace(pairs, **{side: np.full_like(getattr(pairs, side), 0.1)})
    with pytest.raises(InputError, match=f"`{side}` must differ .* received .*all the same: give"):
        spec.fit(same, pairs, spec.config(**fields))
