from dataclasses import replace

import numpy as np
import pytest

from tfxmodal.benchmark.benchmark import _about
from tfxmodal.benchmark.cells import Source
from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.papers import paper_table
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig

ROWS = {
    "scl_table_2": {"wikipedia": 11, "nus_wide_10k": 11, "coco": 10},  # KCCA has none of coco.
    "scl_table_3": {"wikipedia": 22},
    "scl_table_4": {"mirflickr": 10},
    "scl_figure_5": {"wikipedia": 49, "nus_wide_10k": 49},
    "scl_figure_6": {"coco": 20},
    "scl_table_5": {"coco": 5},
    "drsl_table_1": {"wikipedia": 13},
    "drsl_table_2": {"pascal_sentences": 13},
    "drsl_table_3": {"nus_wide_10k": 11},  # MCSM and CM-GANs are not in it.
    "drsl_table_4": {"xmedianet": 13},
    "drsl_table_5": {"pascal_sentences": 4},
    "drsl_table_6": {"nus_wide_10k": 4},
    "drsl_table_7": {"xmedianet": 1, "wikipedia": 1, "pascal_sentences": 1},
}
"""By table how many rows of it the paper has, or how many points of a figure."""
SUMS = {
    "scl_table_2": 36340,
    "scl_table_3": 24453,
    "scl_table_4": 9624,
    "scl_table_5": 8910,
    "drsl_table_1": 17316,
    "drsl_table_2": 22874,
    "drsl_table_3": 17836,
    "drsl_table_4": 23117,
    "drsl_table_5": 8343,
    "drsl_table_6": 7464,
}
"""By table the sum of all its numbers in thousandths, taken from the papers' text."""
MISPRINTS = [("drsl_table_1", "acmr")]
"""Rows whose average is not that of the two numbers before it."""


@pytest.mark.parametrize("name", ROWS)
def test_a_table_expands_to_the_rows_of_the_paper(name):
    table = paper_table(name)
    assert list(table.datasets) == list(ROWS[name]) and table.source and table.features
    assert len({(row.method, repr(row.settings)) for row in table.rows}) == len(table.rows)
    grid = Grid(paper=name)
    assert list(grid._configs()) == list(table.datasets)
    for config in grid._configs().values():
        rows = list(grid._rows(config))
        assert len(rows) == ROWS[name][config.dataset]
        for row in rows:
            form = next(iter(grid._forms(row, config, 0).values()))
            assert form == form.having(**row.settings)


@pytest.mark.parametrize("name", ROWS)
def test_the_numbers_are_those_of_the_paper(name):
    """By their sum, and each average by the two numbers before it."""
    table, total = paper_table(name), 0
    for row in table.rows:
        assert bool(row.printed) == (name in SUMS)
        for data in row.printed.keys() & set(table.datasets):
            one, other, average = row.printed[data]
            near = abs((one + other) / 2 - average) <= 0.0006
            assert near != ((name, row.method) in MISPRINTS), (row.method, data)
            total += sum(round(1000 * number) for number in row.printed[data])
    assert total == SUMS.get(name, 0)


def test_a_figure_over_two_settings_is_all_combinations_of_their_values():
    rows = paper_table("scl_figure_5").rows
    powers = [0.001, 0.01, 0.1, 1, 10, 100, 1000]
    expected = [(alpha, beta) for alpha in powers for beta in powers]
    assert [(row.settings["alpha"], row.settings["beta"]) for row in rows] == expected


def test_numbers_as_they_are_printed():
    """The averages of the methods themselves; some are not the mean of rounded numbers, rounded."""
    averages = {
        (name, data): row.printed[data][-1]
        for name in ("scl_table_2", "drsl_table_1")
        for row in paper_table(name).rows
        if row.method == name[: name.index("_")]
        for data in row.printed
    }
    assert averages == {
        ("scl_table_2", "wikipedia"): 0.409,
        ("scl_table_2", "nus_wide_10k"): 0.489,
        ("scl_table_2", "coco"): 0.668,
        ("drsl_table_1", "wikipedia"): 0.499,
        ("drsl_table_1", "pascal_sentences"): 0.696,
        ("drsl_table_1", "nus_wide_10k"): 0.627,
        ("drsl_table_1", "xmedianet"): 0.698,
    }
    (row,) = paper_table("drsl_table_7").rows
    assert row.seconds["wikipedia"] == [17.975, 0.483]


def test_a_table_tells_what_is_read_here_beside_what_the_paper_read():
    pairs = Pairs(np.array(["a"]), np.array(["a.jpg"]), [("a cat",)])
    data = Dataset("nus_wide_10k", pairs, pairs, pairs)
    config, paper = DataConfig.for_dataset("nus_wide_10k"), Grid(paper="scl_table_2")
    source = Source("nus_wide_10k", config, data, {})
    there = paper_table("scl_table_2").about("nus_wide_10k")
    assert "; 8,000/1,000/1,000 training, validation and test pairs. ACMR" in there
    read = "image encoder vgg19, text encoder tf_idf, 1,000 words"  # As the paper says.
    sizes = "1/1/1 training, validation and test pairs."
    assert _about(paper, source, []) == f"{there} Here: {read}; {sizes}"
    two = Pairs(np.array(["b", "c"]), np.array(["b.jpg", "c.jpg"]), [("a dog",), ("two",)])
    elsewhere = replace(source, dataset=replace(data, test=two))
    told = _about(paper, replace(source, elsewhere=elsewhere), [])
    assert told.endswith("1,000 words; 1/1/2 training, validation and test pairs.")
    hub = replace(config, image_weights="random", text_encoder="hub:sentences")
    told = _about(paper, replace(source, config=hub), [])
    assert f" Here: image encoder vgg19 (random), text encoder hub:sentences; {sizes}" in told
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
