import pytest

from tests.training.tiny import make_pairs
from tfxmodal.methods import METHODS


@pytest.mark.parametrize(
    ("name", "fields", "bars"),
    [
        ("pls", {}, ["covariances"]),
        ("cca", {"rank": 4}, ["covariances", "fits"]),
        ("ridge_cca", {"ridge": 1, "weighting": 1}, ["covariances", "fits"]),
        ("mcca", {"shrinkage": 0.5}, ["covariances", "fits"]),
        ("kcca", {"ridge": 0.1}, ["covariances", "fits"]),
        ("mvda", {"ridge": 0.1}, ["covariances", "covariances", "fits"]),
        ("mvda_vc", {"ridge": 0.1, "consistency": 1}, [*["covariances"] * 3, "fits"]),
        ("gss_sl", {"sparsity": 1, "smoothness": 1}, ["weights"]),
        ("jrl", {"similarity": "cosine"}, ["image neighbours", "text neighbours"]),
    ],
)
def test_the_bars_of_a_fit_are_shown_to_their_end(name, fields, bars):
    ended = []

    def progress(items, total, desc):
        yield from items
        assert len(items) == total
        ended.append(desc)

    pairs, spec = make_pairs(20), METHODS[name]
    spec.fit(pairs, pairs, spec.config(**fields), progress=progress)
    assert ended == bars
