import math

import pytest

from tfxmodal.errors import InputError
from tfxmodal.training.config import TrainingConfig


@pytest.mark.parametrize("field", ["epochs", "batch_size", "validate_every"])
@pytest.mark.parametrize("value", [0, -3])
def test_counts_start_at_one(field, value):
    with pytest.raises(InputError, match=f"`{field}` must be at least 1; received {value}"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("field", ["learning_rate", "checkpoint_minutes"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_rates_and_times_are_above_zero(field, value):
    with pytest.raises(InputError, match=f"`{field}` must be above 0; received {value}"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("field", ["patience", "memory_gb", "seed", "gradient_norms_every"])
def test_nothing_is_below_zero(field):
    TrainingConfig(**{field: 0})
    with pytest.raises(InputError, match=f"`{field}` must be at least 0; received -1"):
        TrainingConfig(**{field: -1})
