import json
from dataclasses import replace
from pathlib import Path

import pytest

from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS
from tfxmodal.training.settings import Settings

SCL = Settings("scl", DataConfig("wikipedia", data_dir=Path("there")))


def changed(group: str, **values) -> Settings:
    return replace(SCL, **{group: replace(getattr(SCL, group), **values)})


def test_a_dataset_brings_its_defaults():
    scl, drsl = (Settings.for_dataset(name, "wikipedia") for name in ("scl", "drsl"))
    assert (scl.config.beta, scl.data.vocabulary_size) == (100, 5000)
    assert (drsl.training.epochs, drsl.training.batch_size) == (150, 200)
    scenes = Settings.for_dataset("scl", "emoji_scenes")
    assert scenes.config.output_activation == "linear" and scenes.training.epochs == 120
    assert scenes.data.image_encoder == "efficientnet_lite0"


def test_they_are_plain_json_and_come_back():
    saved = json.loads(json.dumps(SCL.to_json()))
    assert saved["data"]["data_dir"] == "there"
    assert Settings.from_json(saved) == SCL


def test_a_run_of_an_earlier_version_is_read():
    saved = SCL.to_json()
    saved["data"]["image_tower"] = saved["data"].pop("image_encoder")
    saved["data"]["towers"] = saved["data"].pop("encoders")
    del saved["training"]["select_by"]
    assert Settings.from_json(saved) == SCL


def test_a_configuration_of_another_version_is_told():
    saved = SCL.to_json()
    saved["scl"] |= {"alfa": 1, "bet": 2}
    with pytest.raises(InputError, match=r"SCLConfig has unknown fields \['alfa', 'bet'\]"):
        Settings.from_json(saved)
    with pytest.raises(InputError, match="Unknown method of the run 'slc'; use one of: .*drsl"):
        Settings.from_json(SCL.to_json() | {"method": "slc"})


@pytest.mark.parametrize(
    "other",
    [
        changed("data", data_dir=Path("moved"), download=True, cache_dir=Path("elsewhere")),
        changed("training", epochs=900, patience=0, memory_gb=0.0, gradient_norms_every=1),
    ],
)
def test_what_does_not_change_the_result_may_change_when_a_run_goes_on(other):
    assert other.continuing(SCL) == other


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (changed("training", seed=1), "training.seed: 0 -> 1"),
        (changed("config", beta=2.0), "scl.beta: 100.0 -> 2.0"),
        (changed("data", dataset="coco"), "data.dataset: wikipedia -> coco"),
        (Settings("drsl", SCL.data), "run.method: scl -> drsl"),
    ],
)
def test_what_changes_the_result_is_refused(other, told):
    with pytest.raises(InputError, match=f"begun with other settings.*{told}.*name another folder"):
        other.continuing(SCL)


def test_what_was_decided_when_a_run_began_stays_when_it_goes_on():
    begun = Settings("scl", DataConfig("features")).having(mi_negatives=8)
    now = Settings("scl", DataConfig("features"))
    assert now.config.mi_negatives == "auto"
    assert now.continuing(begun) == begun
    with pytest.raises(InputError, match="scl.mi_negatives: 8 -> 0"):
        now.having(mi_negatives=0).continuing(begun)


@pytest.mark.parametrize("spec", METHODS.values(), ids=METHODS)
def test_every_preset_names_its_source(spec):
    assert spec.preset_sources.keys() == spec.presets.keys()


def test_values_that_are_right_together_are_taken_in_any_order():
    given = {"start": "linear", "output_activation": "linear"}
    for values in (given, dict(reversed(given.items()))):
        config = Settings("scl", DataConfig("features")).having(**values).config
        assert config.start == config.output_activation == "linear"
