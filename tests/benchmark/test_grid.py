import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.benchmark.made import grid, write_features
from tfxmodal.benchmark import grid as grids
from tfxmodal.benchmark.grid import Grid
from tfxmodal.errors import InputError
from tfxmodal.methods import METHODS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("data") / "mine")


def cells(grid):
    return grid.cells(grid.sources())


def names(grid) -> set[str]:
    return {cell.name for cell in cells(grid)}


def test_seed_by_seed_and_quick_methods_first(folder):
    found = cells(grid(folder, "deep_sm", "pls", seeds=(3, 1)))
    assert [(cell.method, cell.seed) for cell in found] == [
        *(("pls", 3), ("deep_sm", 3)),
        *(("pls", 1), ("deep_sm", 1)),
    ]
    assert {cell.dataset for cell in found} == {"mine"}
    for cell in found:
        (form,) = (each for each in cell.forms.values() if each.method == cell.method)
        assert form.training.seed == cell.seed and form.data.data_dir == folder
        assert cell.name.startswith(f"{cell.method}-mine-seed{cell.seed}-")


def test_all_methods_and_forms(folder):
    found = cells(grid(folder, "all"))
    assert {cell.method for cell in found} == METHODS.keys()
    forms = {cell.method: len(cell.forms) for cell in found}
    assert forms["scl"] > 1  # `features` are the user's: the preset is the recommended one.
    paper = cells(grid(folder, "scl", preset="paper"))
    assert {len(cell.forms) for cell in paper} == {1}


def test_variants_are_of_methods_to_which_they_make_a_difference(folder):
    asked = grid(folder, "pls", "scl", "deep_sm", labelled_fraction=(0.1, 0.5), label_noise=(0.2,))
    found = [(cell.method, dict(cell.variant)) for cell in cells(asked)]
    few = [{"labelled_fraction": share, "label_noise": 0.2} for share in (0.1, 0.5)]
    assert found == [("pls", {}), *(("scl", each) for each in few)] + [
        ("deep_sm", each) for each in few
    ]
    form = next(iter(cells(asked)[-1].forms.values()))
    assert form.config.labelled_fraction == 0.5 and form.data.label_noise == 0.2


def test_wrong_labels_are_no_variant_of_a_method_that_reads_none(folder):
    asked = grid(folder, "pls", "scl", "distil", "jrl", label_noise=(0.2, 0.4))
    found = [(cell.method, dict(cell.variant)) for cell in cells(asked)]
    noisy = [("jrl", {"label_noise": share}) for share in (0.2, 0.4)]
    assert sorted(found, key=str) == sorted(
        [*noisy, ("pls", {}), ("scl", {}), ("distil", {})], key=str
    )
    asked = grid(folder, "scl", label_noise=(0.2,), set=("scl.labelled_fraction=0.1",))
    assert [dict(cell.variant) for cell in cells(asked)] == [{"label_noise": 0.2}]


def test_settings_go_to_whom_they_concern(folder):
    asked = grid(
        folder,
        "pls",
        "deep_sm",
        epochs=3,
        minutes=0.5,
        set=("pls.components=2", "deep_sm.hidden_units=[8, 4]", "features.vocabulary_size=7"),
    )
    pls, deep_sm = (next(iter(cell.forms.values())) for cell in cells(asked))
    assert pls.config.components == 2 and not hasattr(pls.training, "epochs")
    assert deep_sm.config.hidden_units == (8, 4)
    assert (deep_sm.training.epochs, deep_sm.training.minutes) == (3, 0.5)
    assert pls.data.vocabulary_size == deep_sm.data.vocabulary_size == 7
    assert [cell.title for cell in cells(asked)] == [
        "pls, mine, components 2, seed 0",
        "deep_sm, mine, hidden units [8, 4], seed 0",
    ]


def test_a_row_is_trained_on_one_machine(folder):
    with pytest.raises(InputError, match="`set` deep_sm.strategy=multi_worker has no place"):
        cells(grid(folder, "deep_sm", set=("deep_sm.strategy=multi_worker",)))


def test_a_name_changes_with_what_decides_the_result_alone(folder, tmp_path):
    asked = grid(folder, "pls", "deep_sm")
    before = names(asked)
    elsewhere = shutil.copytree(folder, tmp_path / "mine")
    assert names(replace(asked, datasets=(f"features={elsewhere}",), cache_dir=tmp_path)) == before
    of_pls = {name for name in before if name.startswith("pls")}
    assert names(replace(asked, epochs=7)) & before == of_pls
    assert names(replace(asked, set=("pls.components=2",))) & before == before - of_pls
    assert len(names(replace(asked, seeds=(0, 1, 2))) & before) == len(before)
    labels = np.load(elsewhere / "test_lab.npy")
    np.save(elsewhere / "test_lab.npy", labels[::-1])
    assert not names(replace(asked, datasets=(f"features={elsewhere}",))) & before


@pytest.mark.parametrize(
    ("method", "setting", "file"),
    [
        ("pls", "features.image_weights={}/x.h5", "x.h5"),
        ("pls", "features.image_weights={}", "image.weights.h5"),
        ("pls", "features.word_vectors={}/x.txt", "x.txt"),
        ("pls", "features.encoders={}", "text/text_cnn.json"),
        ("pls", "features.image_encoder=keras_hub:{}", "model.weights.h5"),
        ("pls", "features.text_encoder=tf_idf+minilm:{}", "model.safetensors"),
        ("distil", "distil.teacher={}", "networks/image_encoder.keras"),
    ],
)
def test_a_name_changes_with_the_contents_of_weights(folder, tmp_path, method, setting, file):
    there = tmp_path / "there"
    asked = grid(folder, method, seeds=(0, 1), set=(setting.format(there),))

    def names_and_studies():
        return [(cell.name, cell.study) for cell in cells(asked)]

    absent = names_and_studies()
    assert not any(cell.contents for cell in cells(asked))
    (there / file).parent.mkdir(parents=True)
    found = []
    for content in ("one", "two", "one"):
        (there / file).write_text(content)
        found.append(names_and_studies())
    one, two, again = found
    assert one == again
    for each in zip(absent, one, two, strict=True):
        assert all(len(set(names)) == 3 for names in zip(*each, strict=True))
    if method == "distil":
        (there / "evaluation").mkdir()
        (there / "evaluation/metrics.json").write_text("{}")
        assert names_and_studies() == one


def test_weights_are_read_once_for_all_trainings(folder, tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_text("weights")
    read = []
    monkeypatch.setattr(grids, "content_hash", lambda path: read.append(path) or "hash")
    asked = grid(folder, "pls", "scl", seeds=(0, 1), set=(f"features.image_weights={tmp_path}",))
    assert all(cell.contents == ["hash"] for cell in cells(asked)) and len(read) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"methods": ("plz",)}, "Unknown method 'plz'"),
        ({"methods": ("pls", "pls")}, r"`methods` \('pls', 'pls'\) names one twice"),
        ({"seeds": ()}, "`seeds` must name at least one; received none"),
        ({"seeds": (0, -1)}, r"`seeds` must be from 0 to 4294967295 each; received \(0, -1\)"),
        ({"datasets": ("wikipedias",)}, "Unknown dataset 'wikipedias'"),
        ({"datasets": ("features=a/x", "features=b/x")}, "`datasets` names two x"),
        ({"set": ("pls.components",)}, "`set` takes NAME.SETTING=VALUE; received 'pls.components'"),
        ({"set": ("plz.components=1",)}, "Unknown name in `set` 'plz'"),
        ({"set": ("emoji_scenes.size=1",)}, "Unknown setting of emoji_scenes 'size'"),
        ({"set": ("pls.rank=1",)}, "Unknown setting of pls 'rank'"),
        ({"set": ("deep_sm.learning_rate=fast",)}, "learning_rate must be .*; received 'fast'"),
        ({"set": ("deep_sm.learning_rate=-1",)}, "`learning_rate` must be above 0; received -1"),
        ({"set": ("deep_sm.select_by=luck",)}, "select_by must be .*; received 'luck'"),
        ({"set": ("deep_sm.hidden_units=8",)}, "hidden_units must be .*; received 8"),
        ({"epochs": 0}, "`epochs` must be at least 1; received 0"),
        ({"labelled_fraction": (2.0,)}, "`labelled_fraction` must be .* received 2.0"),
    ],
)
def test_mistakes_are_told_at_once(given, told):
    with pytest.raises(InputError, match=told):
        Grid(**given)


def test_what_tuning_tries_can_be_set(folder):
    for name, spec in METHODS.items():
        last = {k: v[-1] for k, v in spec.search_space.items()}
        values = (f"{name}.{k}={json.dumps(v)}" for k, v in last.items())
        (cell,) = cells(grid(folder, name, set=tuple(values)))
        for form in cell.forms.values():
            assert form == form.having(**last)
