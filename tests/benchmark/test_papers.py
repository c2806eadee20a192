from dataclasses import replace

import numpy as np
import pytest

from tfxmodal.benchmark.benchmark import _about
from tfxmodal.benchmark.cells import Source
from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.papers import paper_table
from tfxmodal.data import DATASETS
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS

TABLES = (
    *(
        f"scl_{name}"
        for name in ("table_2", "table_3", "table_4", "table_5", "figure_5", "figure_6")
    ),
    *(f"drsl_table_{n}" for n in range(1, 8)),
)
FEWER = {"drsl_table_3": 2}  # MCSM and CM-GANs are not in it.


@pytest.mark.parametrize("name", TABLES)
def test_a_table_expands_to_the_rows_of_the_paper(name):
    table = paper_table(name)
    assert set(table.datasets) <= DATASETS.keys() and table.source and table.features
    assert len({(row.method, repr(row.settings)) for row in table.rows}) == len(table.rows)
    grid = Grid(paper=name)
    assert list(grid._configs()) == list(table.datasets)
    for config in grid._configs().values():
        rows = list(grid._rows(config))
        printed = [row for row in table.rows if not row.printed or config.dataset in row.printed]
        assert len(printed) >= len(table.rows) - FEWER.get(name, 1)
        assert len(rows) == sum(row.method in METHODS for row in printed)
        for row in rows:
            assert all(0 < number < 1 for number in row.printed.get(config.dataset, ()))
            form = next(iter(grid._forms(row, config, 0).values()))
            assert form == form.having(**row.settings)


def test_a_figure_over_two_settings_is_all_combinations_of_their_values():
    rows = paper_table("scl_figure_5").rows
    powers = [0.001, 0.01, 0.1, 1, 10, 100, 1000]
    expected = [(alpha, beta) for alpha in powers for beta in powers]
    assert [(row.settings["alpha"], row.settings["beta"]) for row in rows] == expected


def test_numbers_as_they_are_printed():
    """The rows of the methods themselves: mean of both directions, rounded as in the paper."""
    means = {
        (name, data): round(sum(row.printed[data]) / 2 + 1e-9, 3)
        for name in ("scl_table_2", "drsl_table_1")
        for row in paper_table(name).rows
        if row.method == name[: name.index("_")]
        for data in row.printed
    }
    assert means == {
        ("scl_table_2", "wikipedia"): 0.409,
        ("scl_table_2", "nus_wide_10k"): 0.489,
        ("scl_table_2", "coco"): 0.668,
        ("drsl_table_1", "wikipedia"): 0.499,
        ("drsl_table_1", "pascal_sentences"): 0.696,
        ("drsl_table_1", "nus_wide_10k"): 0.627,
        ("drsl_table_1", "xmedianet"): 0.699,
    }


def test_a_table_tells_what_is_read_here_beside_what_the_paper_read():
    pairs = Pairs(np.array(["a"]), np.array(["a.jpg"]), [("a cat",)])
    data = Dataset("nus_wide_10k", pairs, pairs, pairs)
    config, paper = DataConfig.for_dataset("nus_wide_10k"), Grid(paper="scl_table_2")
    source = Source("nus_wide_10k", config, data, {})
    there = paper_table("scl_table_2").about
    read = "image encoder vgg19, text encoder tf_idf, 1,000 words"  # As the paper says.
    assert _about(paper, source, []) == f"{there} Here: {read}."
    hub = replace(config, image_weights="random", text_encoder="hub:sentences")
    told = _about(paper, replace(source, config=hub), [])
    assert told.endswith(" Here: image encoder vgg19 (random), text encoder hub:sentences.")
    ready = data.train.with_features(np.zeros([len(data.train), 2]))
    some = replace(source, dataset=data.replace_splits(train=ready))
    assert "Here: ready image features, text encoder tf_idf" in _about(paper, some, [])
    assert "Here:" not in _about(Grid(), source, [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"paper": "scl_table_1"}, "Unknown paper 'scl_table_1'; use one of: drsl_table_1, "),
        (
            {"paper": "scl_table_4", "test_on": "coco"},
            "Unknown `test_on` of scl_table_4 'coco'; use one of: nus_wide_10k",
        ),
        ({"test_on": "coca"}, "Unknown `test_on` 'coca'; use one of: "),
        (
            {"paper": "scl_table_3", "datasets": ("coco",)},
            "Unknown dataset of scl_table_3 'coco'; use one of: wikipedia",
        ),
        (
            {"paper": "scl_table_3", "label_noise": (0.2,)},
            "`label_noise` .* `paper` scl_table_3",
        ),
    ],
)
def test_mistakes_are_told(given, told):
    with pytest.raises(InputError, match=told):
        Grid(**given)
