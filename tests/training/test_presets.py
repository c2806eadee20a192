"""A method as its paper has it, or in the forms that measure best."""

import json

import pytest

from tests.training.test_experiment import dataset
from tfxmodal import api
from tfxmodal.data import DATASETS
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.training.presets import forms_of, nearest_preset, preset_of
from tfxmodal.training.settings import Settings

TINY = {"hidden_units": 8, "embedding_dim": 4, "alpha": 0.0, "epochs": 2, "batch_size": 16}


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("method", METHODS)
def test_benchmarks_default_to_the_paper_and_own_data_to_what_is_recommended(method, name):
    own, data = name in ("pairs", "features"), DataConfig.for_dataset(name)
    assert preset_of(name) == ("recommended" if own else "paper")
    assert forms_of(method, data, "paper") == {method: Settings.for_dataset(method, name)}
    assert forms_of(method, data) == forms_of(method, data, preset_of(name))
    for form in forms_of(method, data, "recommended").values():
        assert form.method == method and Settings.from_json(form.to_json()) == form


def test_settings_are_told_by_the_preset_that_is_nearest():
    paper = Settings.for_dataset("ccl", "wikipedia").having(seed=3, data_dir="elsewhere")
    assert nearest_preset(paper) == ("paper", {})
    other = paper.having(grains="both", learning_rate=0.5)
    assert nearest_preset(other) == ("paper", {"grains": "both", "learning_rate": 0.5})
    forms = forms_of("scl", DataConfig("features"))
    for name, form in forms.items():
        assert nearest_preset(form) == (f"recommended ({name})", {})
        assert nearest_preset(form.having(seed=1, minutes=2.5))[1] == {"minutes": 2.5}


def test_validation_chooses_among_the_forms_and_what_is_given_changes_all(tmp_path):
    result = api.train("scl", dataset(), tmp_path / "run", **TINY)
    tried = json.loads((tmp_path / "run/candidates.json").read_text())["candidates"]
    expected = forms_of("scl", DataConfig("features"))
    assert {each["name"] for each in tried} == set(expected) and len(expected) > 1
    assert all(
        TINY.items() <= {**e["settings"]["scl"], **e["settings"]["training"]}.items() for e in tried
    )
    best = tried[0]["settings"]
    assert result.settings.to_json()["scl"] == best["scl"]
    one = api.train("scl", dataset(), tmp_path / "paper", preset="paper", **TINY)
    assert not (one.folder / "candidates.json").exists()
    paper = Settings.for_dataset("scl", "features").having(mi_negatives=0, **TINY)
    assert one.settings == paper  # The default of own data leaves the negatives open.


def test_a_preset_that_there_is_not_is_told():
    with pytest.raises(InputError, match="Unknown preset 'best'; use one of: paper, recommended"):
        forms_of("scl", DataConfig("pairs"), "best")


@pytest.mark.parametrize("method", ["scl", "drsl"])
def test_the_form_that_starts_as_a_linear_method_comes_first(method):
    """So it has been measured, however short the time is."""
    first, *_ = forms_of(method, DataConfig("pairs")).values()
    assert first.config.start != "random"
