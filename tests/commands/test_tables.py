import numpy as np

from tests.evaluation.test_protocol import Bilinear, pairs_of
from tfxmodal.commands.tables import print_table
from tfxmodal.evaluation.protocol import evaluate


def test_queries_that_tie_are_told_below_the_table(capsys):
    rows = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    print_table({"test": evaluate(Bilinear(), pairs_of(rows, rows))}, "none")
    assert "score of the right one" not in capsys.readouterr().out
    print_table({"test": evaluate(Bilinear(), pairs_of(rows[[0, 0, 2, 3, 4, 5]], rows))}, "two")
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("test, text to image: of 6 queries ") and "counts as better" in last
