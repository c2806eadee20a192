import pytest

from tfxmodal.errors import InputError
from tfxmodal.training.config import TrainingConfig

FIELDS = ("epochs", "batch_size", "validate_every", "gradient_norms_every")


@pytest.mark.parametrize(
    "field", ["epochs", "batch_size", "validate_every", "gradient_norms_every"]
)
@pytest.mark.parametrize("value", [0, -3])
def test_counts_start_at_one(field, value):
    flag = field.replace("_", "-")
    with pytest.raises(InputError, match=f"--{flag} must be at least 1; received {value}"):
        TrainingConfig(**{field: value})
