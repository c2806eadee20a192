"""Whatever is registered must explain itself: its options are the command line's help."""

import ast
import dataclasses
import inspect
import textwrap

import pytest

from tfxmodal.data import DATASETS
from tfxmodal.encoders.image import IMAGE_ENCODERS
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.methods.learner import Method
from tfxmodal.training.config import FitConfig, TrainingConfig
from tfxmodal.training.settings import Settings, training_config

CONFIGS = [spec.config for spec in METHODS.values()] + [TrainingConfig, FitConfig, DataConfig]
LOADERS = {**DATASETS, **IMAGE_ENCODERS}


def fields_with_docstring(config_class) -> set[str]:
    """Fields that a string follows, which tyro shows as their help."""
    classes = [each for each in config_class.__mro__ if dataclasses.is_dataclass(each)]
    bodies = [ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body for each in classes]
    return {
        field.target.id
        for body in bodies
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


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_one_record(name):
    spec = METHODS[name]
    assert spec.name == name and spec.title and spec.source
    assert (spec.learner is None) != (spec.fit is None)
    if spec.learner:
        assert issubclass(spec.learner, Method)
    made_by = spec.learner or spec.fit
    assert inspect.getdoc(made_by) and inspect.getmodule(made_by).__doc__
    assert spec.config.__dataclass_params__.frozen
    assert spec.inputs(spec.config()).keys() == {"image", "text"}


@pytest.mark.parametrize("name", METHODS)
def test_presets_change_fields_that_there_are(name):
    spec = METHODS[name]
    assert spec.presets.keys() - {""} <= DATASETS.keys()
    groups = {"method": spec.config, "training": training_config(spec)}
    for preset in spec.presets.values():
        for group, values in preset.items():
            assert dataclasses.replace(groups[group](), **values) != groups[group]()


@pytest.mark.parametrize("name", METHODS)
def test_settings_come_back_from_their_file(name):
    for dataset in DATASETS:
        settings = Settings.for_dataset(name, dataset)
        assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_loaded_by_name_is_documented(name):
    assert inspect.getdoc(LOADERS[name])
    assert inspect.getmodule(LOADERS[name]).__doc__


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_loaded_from_its_folder(name):
    parameters = inspect.signature(DATASETS[name]).parameters
    assert next(iter(parameters)) == "data_dir"
