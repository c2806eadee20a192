import dataclasses
import math
import typing

import numpy as np
import pytest

from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.training.config import FitConfig, TrainingConfig

CONFIGS = [*(spec.config for spec in METHODS.values()), TrainingConfig, FitConfig, DataConfig]


def numbers() -> list:
    """Each field of a config that takes a number, or several."""
    found = []
    for config in CONFIGS:
        hints = typing.get_type_hints(config)
        for field in dataclasses.fields(config):
            kinds = [hints[field.name], *typing.get_args(hints[field.name])]
            if int in kinds or float in kinds:
                several = typing.get_origin(hints[field.name]) is tuple
                found.append(
                    pytest.param(config, field.name, several, id=f"{config.__name__}.{field.name}")
                )
    return found


@pytest.mark.parametrize(("config", "name", "several"), numbers())
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_every_number_has_a_range(config, name, several, value):
    with pytest.raises(InputError, match=f"`{name}` must be"):
        config(**{name: (value,) if several else value})


@pytest.mark.parametrize("config", [TrainingConfig, FitConfig])
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_one_that_numpy_takes(config, seed):
    np.random.RandomState(config(seed=2**32 - 1).seed)
    with pytest.raises(InputError, match=f"`seed` must be from 0 to 4294967295; received {seed}"):
        config(seed=seed)


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


@pytest.mark.parametrize("field", ["patience", "memory_gb", "gradient_norms_every"])
def test_nothing_is_below_zero(field):
    TrainingConfig(**{field: 0})
    with pytest.raises(InputError, match=f"`{field}` must be at least 0; received -1"):
        TrainingConfig(**{field: -1})
