"""Whatever is registered must explain itself: its options are the command line's help."""

import ast
import dataclasses
import inspect
import textwrap

import pytest

from tfxmodal.data import DATASETS
from tfxmodal.encoders.image import IMAGE_ENCODERS
from tfxmodal.inputs.prepare import DataConfig
from tfxmodal.methods import CLOSED_FORM, METHODS
from tfxmodal.methods.learner import Method
from tfxmodal.training.config import TrainingConfig

CONFIGS = [config for _, config in METHODS.values()] + [TrainingConfig, DataConfig]
LOADERS = {**DATASETS, **IMAGE_ENCODERS, **CLOSED_FORM}


def fields_with_docstring(config_class) -> set[str]:
    """Fields that a string follows, which tyro shows as their help."""
    body = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body[0].body
    return {
        field.target.id
        for field, text in zip(body, body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value.value, str)
        and text.value.value.strip()
    }


@pytest.mark.parametrize("config_class", CONFIGS, ids=lambda config: config.__name__)
def test_every_option_is_explained(config_class):
    names = {field.name for field in dataclasses.fields(config_class)}
    assert names <= fields_with_docstring(config_class)
    assert inspect.getdoc(config_class)


@pytest.mark.parametrize("method_class, config_class", METHODS.values(), ids=METHODS)
def test_a_method_is_built_from_pairs_and_a_frozen_config(method_class, config_class):
    assert issubclass(method_class, Method)
    train, config, *others = inspect.signature(method_class).parameters.values()
    assert (train.name, config.name) == ("train", "config")
    assert all(other.default is None for other in others)
    assert config_class.__dataclass_params__.frozen
    config_class()  # Every field has a default.
    assert inspect.getdoc(method_class)


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_loaded_by_name_is_documented(name):
    assert inspect.getdoc(LOADERS[name])
    assert inspect.getmodule(LOADERS[name]).__doc__


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_loaded_from_its_folder(name):
    parameters = inspect.signature(DATASETS[name]).parameters
    assert next(iter(parameters)) == "data_dir"
