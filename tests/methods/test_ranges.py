"""What the numbers of a method's config may be."""

import math

import pytest

from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS

OUTSIDE = {
    "scl": {"mi_negatives": -1},
    "drsl": {"hidden_units": (8, 0), "feature_dim": 0, "relation_layers": 0}
    | {"relation_units": 0, "dropout": 1.0},
    "mcca": {"shrinkage": 1.5},
    "dcca": {"hidden_units": (0,), "embedding_dim": 0, "ridge": 0.0},
    "dccae": {"reconstruction_weight": -1.0},
    "dual_path": {"hidden_units": (0,), "embedding_dim": 0, "dropout": 1.0, "instance_classes": 0}
    | {"instance_epochs": 0, "ranking_weight": -1.0, "margin": -0.1},
    "jrl": {"sparsity": 0.0, "smoothness": -1.0, "correlation": math.nan, "prediction": 0.0}
    | {"neighbours": 0, "iterations": 0, "labelled_fraction": 0.0},
    "gss_sl": {"sparsity": 0.0, "smoothness": -1.0, "label_smoothness": math.nan, "rounds": 0}
    | {"labelled_fraction": 2.0},
    "smln": {"hidden_units": (8, 0), "embedding_dim": 0, "neighbours": 0, "ridge": 0.0}
    | {"labelled_fraction": 1.5},
    "deep_sm": {"hidden_units": (0,), "dropout": 1.0},
    "dscmr": {"hidden_units": 0, "embedding_dim": 0, "beta": -1.0},
    "sdml": {"hidden_units": (8, 0), "alpha": 1.5, "text_rate": 0.0},
    "mrl": {"hidden_units": (0,), "embedding_dim": 0, "beta": 1.1, "temperature": 0.0},
    "fgcrossnet": {"first_units": 0, "hidden_units": (0,), "quadruplets": 0, "centre_epochs": 0}
    | {"centre_weight": -1.0, "quadruplet_weight": -0.1, "margin": -1.0, "second_margin": -1.0},
    "mcsm": {"image_units": 0, "text_units": 0, "embedding_dim": 0, "dropout": 1.0, "margin": 0.0},
    "acmr": {"text_hidden_units": (0,), "embedding_dim": 0, "adversary_weight": -1.0},
    "cm_gans": {"hidden_units": 0, "embedding_dim": 0, "critic_units": 0, "generator_steps": 0},
    "cmdn": {"image_units": (8, 0), "mean_field_steps": -1, "stage_epochs": 0},
    "ccl": {"correspondence": 1.1, "margin": 0.0, "contrast_weight": -1.0},
}
"""By method values that a field refuses, most of them just outside of its range."""


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [(method, *each) for method, values in OUTSIDE.items() for each in values.items()],
)
def test_a_value_out_of_range_is_refused(method, name, value):
    with pytest.raises(InputError, match=f"`{name}` must be .*received"):
        METHODS[method].config(**{name: value})
