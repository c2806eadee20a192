import pytest

from tfxmodal.benchmark.grid import Grid
from tfxmodal.benchmark.papers import paper_table
from tfxmodal.data import DATASETS
from tfxmodal.errors import InputError
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
