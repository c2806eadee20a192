"""A whole benchmark, and what it writes."""

import base64
import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.benchmark.made import grid, write_features
from tfxmodal.benchmark import benchmark
from tfxmodal.benchmark import grid as grids
from tfxmodal.benchmark.benchmark import run_benchmark, tables_of
from tfxmodal.benchmark.figures import _convergence, _line, _over_two_settings, _surface, figures_of
from tfxmodal.benchmark.report import write_environment, write_report
from tfxmodal.benchmark.results import Result, tables_of_runs
from tfxmodal.benchmark.runner import Board, train
from tfxmodal.benchmark.tables import cells as cells_of
from tfxmodal.benchmark.tables import latex, markdown, results_csv
from tfxmodal.commands.benchmark import print_end
from tfxmodal.errors import InputError
from tfxmodal.evaluation import significance
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.io.reporter import Reporter
from tfxmodal.training import model_card, run_evaluation
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.summaries import Summaries
from tfxmodal.training.trained_run import load_run

FIGURES = "figures/mine/scores.pdf", "figures/mine/precision_recall.png"
FILES = ("report.html", "tables.md", "tables.tex", "results.csv", *FIGURES)
METHODS = ("pls", "random", "zero_shot", "semantic_matching")
SMALL = ("deep_sm.hidden_units=[4]", "deep_sm.batch_size=16", "deep_sm.learning_rate=0.01")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("data") / "mine")


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A benchmark: its folder, what it returned and what it said."""
    to, reporter, said = tmp_path_factory.mktemp("whole") / "to", Reporter(), []
    reporter.say = said.append
    asked = grid(folder, *METHODS, seeds=(0, 1))
    return to, run_benchmark(asked, to, "a command", reporter=reporter), said


def without_clock(asked, to) -> dict[str, bytes]:
    """The report's files, once the clock's facts in the runs are made the same."""
    for path in to.glob("runs/*/metrics.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"seconds": 1.0, "test_seconds": 1.0}))
    again = run_benchmark(asked, to, "a command")
    assert again.open == 0
    return {name: (to / name).read_bytes() for name in FILES}


def test_stopped_and_killed_it_goes_on_to_the_same_report(folder, tmp_path, monkeypatch):
    asked = grid(folder, "random", "deep_sm", epochs=3, set=SMALL)
    sources = asked.sources()
    cells, calls = asked.cells(sources), iter(range(1000))
    for name, stop_asked in {
        "whole": lambda: False,
        # Asked before each training and in each step: it ends within the one with epochs.
        "to": lambda: next(calls) > 3,
    }.items():
        list(train(asked, sources, cells, Board(tmp_path / name), stop_asked=stop_asked))
    (begun,) = (tmp_path / "to").glob("runs/deep_sm*/config.json")
    (done,) = (tmp_path / "to").glob("runs/*/metrics.json")
    assert done.parent != begun.parent
    done.unlink()  # As if it had been killed before its end.
    assert run_benchmark(asked, tmp_path / "to", "a", stop_asked=lambda: True).open == 2

    def killed(summaries, report):
        if report.epoch == 2:  # Its networks are saved, and its score is not logged.
            raise KeyboardInterrupt
        log(summaries, report)

    log = Summaries.epoch
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Summaries, "epoch", killed)
        list(train(asked, sources, cells, Board(tmp_path / "to")))
    list(train(asked, sources, cells, Board(tmp_path / "to")))
    logged = [Result(next(tmp_path.glob(f"{to}/runs/deep_sm*"))) for to in ("to", "whole")]
    assert logged[0].convergence == logged[1].convergence and len(logged[0].convergence) == 3
    ours, theirs = (without_clock(asked, tmp_path / name) for name in ("to", "whole"))
    assert ours == theirs


def test_the_report_of_what_is_done_is_written_where_an_error_ends_the_rest(
    folder, tmp_path, monkeypatch
):
    def ends(grid, sources, cells, *given):
        yield from train(grid, sources, cells[:1], *given)
        raise InputError("2 of 2 processes ended")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(benchmark, "train", ends)
    with pytest.raises(InputError, match="2 of 2 processes ended"):
        run_benchmark(grid(folder, "pls", "random"), tmp_path / "to", "a command")
    assert "| pls |" in (tmp_path / "to/tables.md").read_text()
    monkeypatch.setattr(benchmark, "write_report", full)
    with pytest.raises(InputError, match="2 of 2 processes ended"):
        run_benchmark(grid(folder, "pls", "random"), tmp_path / "to", "a command")


def test_the_report_names_what_is_left_and_rows_of_fewer_seeds(folder, tmp_path, monkeypatch):
    def stopped(grid, sources, cells, *given):
        yield from train(grid, sources, cells[:4], *given)

    asked = grid(folder, "pls", "random", "semantic_matching", seeds=(0, 1, 2))
    cells = asked.cells(asked.sources())
    assert [(cell.method, cell.seed) for cell in cells[3:5]] == [("pls", 1), ("random", 1)]
    monkeypatch.setattr(benchmark, "train", stopped)
    assert run_benchmark(asked, tmp_path / "to", "a command").open == 5
    monkeypatch.undo()
    for name in FILES[:3]:
        text = (tmp_path / "to" / name).read_text().replace(r"\_", "_")
        assert "Rows are of 1 to 2 seeds" in text
        assert "(random, mine, seed 1 2; semantic_matching, mine, seed 1 2; pls" in text
    assert "Seeds" in (tmp_path / "to/tables.tex").read_text()
    Board(tmp_path / "to").fail(cells[4], InputError("by hand"))
    with monkeypatch.context() as patch:
        patch.setattr(Board, "forget_failures", lambda _: None)
        assert run_benchmark(asked, tmp_path / "to", "a command").open == 0
    for name in FILES[:3]:
        text = (tmp_path / "to" / name).read_text()
        assert "by hand" in text and "random, mine, seed 1" in text
        assert "Rows are of 2 to 3 seeds" in text and "Not trained yet" not in text


def test_what_failed_is_told_though_a_second_command_tries_it_again(folder, tmp_path, monkeypatch):
    def shared(grid, sources, cells, *given):
        for cell in train(grid, sources, cells, *given):
            Board(tmp_path / "to").forget_failures()  # As a command does that begins.
            yield cell

    monkeypatch.setattr(benchmark, "train", shared)
    done = run_benchmark(grid(folder, "pls", "zero_shot"), tmp_path / "to", "a command")
    (reason,) = done.failures
    assert "share no space" in reason and done.open == 0
    assert reason in (tmp_path / "to/tables.md").read_text()


def test_runs_and_calls_of_several_versions_are_told(folder, tmp_path, capsys):
    asked, to = grid(folder, "pls", "random"), tmp_path / "to"
    assert not run_benchmark(asked, to, "first").tables[0].mixed
    (run,) = to.glob("runs/pls-*")
    model, environment = (
        json.loads(path.read_text()) for path in (run / "model.json", to / "environment.json")
    )
    model["versions"]["tfxmodal"] = environment["versions"]["tfxmodal"] = "0.0.1"
    (run / "model.json").write_text(json.dumps(model))
    (to / "environment.json").write_text(json.dumps(environment))
    done = run_benchmark(asked, to, "second")
    told = "Its runs were trained by several versions (1 by tfxmodal 0.0.1, tensorflow "
    print_end(to, done.tables, done.failures)
    for text in (capsys.readouterr().out, *((to / name).read_text() for name in FILES[:3])):
        assert told in text
    assert "tfxmodal 0.0.1, tensorflow" in (to / "results.csv").read_text()
    run_benchmark(asked, to, "third")
    now = json.loads((to / "environment.json").read_text())
    assert [each["versions"]["tfxmodal"] for each in now["earlier"]] == ["0.0.1"]
    assert now["machine"] == now["earlier"][0]["machine"] == environment["machine"]
    assert now["versions"]["tfxmodal"] != "0.0.1" and now["commands"] == [
        "first",
        "second",
        "third",
    ]


def test_runs_of_other_sources_are_of_another_version(folder, tmp_path, monkeypatch):
    def one(grid, sources, cells, *given):
        return train(grid, sources, cells[:1], *given)

    monkeypatch.setattr(benchmark, "train", one)
    asked, to = grid(folder, *METHODS[:2], seeds=(0, 1, 2)), tmp_path / "to"
    for code in ("aaaa", "bbbb", "bbbb", "cccc", "dddd"):
        monkeypatch.setattr(model_card, "sources_hash", lambda code=code: code)
        (table,) = run_benchmark(asked, to, "a command").tables
        if code == "aaaa":
            assert not table.mixed
    now = json.loads((to / "environment.json").read_text())
    assert now["versions"]["tfxmodal"].endswith(" (dddd)") and len(now["earlier"]) == 3
    assert re.match(r".* \(2 by tfxmodal \S+ \(bbbb\), tensorflow .*, \.\.\.\), which", table.mixed)
    assert len(re.findall("by tfxmodal", table.mixed)) == 3


def test_it_tells_what_it_does(whole):
    _, _, said = whole
    assert said[0].startswith("8 trainings, 0 of them done; in ")
    assert re.fullmatch(r"1/8 pls, mine, seed 0: 0\.\d{3}, \d+ s; about \d+ min left", said[1])
    failed = [line for line in said if "zero_shot" in line]
    assert len(failed) == 2 and "not trained: Ready features" in failed[0]


def test_the_time_left_tells_the_two_kinds_of_methods_apart(folder, tmp_path, monkeypatch):
    now, said, reporter = iter([0, 10, 20, 90, 150]), [], Reporter()
    reporter.say = said.append
    monkeypatch.setattr(benchmark.time, "monotonic", lambda: next(now))
    asked = grid(folder, "pls", "deep_sm", seeds=(0, 1))
    cells, board = asked.cells(asked.sources()), Board(tmp_path)
    for cell in cells:
        board.fail(cell, InputError("by hand"))
    order = sorted(cells, key=lambda cell: cell.method, reverse=True)
    benchmark._tell(order, cells, board, reporter)
    assert [line.rpartition("; ")[2] for line in said] == [
        *("more than 0 min left", "more than 0 min left", "about 1 min left", "about 0 min left")
    ]


def test_the_tables_are_those_of_the_runs(whole):
    to, done, _ = whole
    (table,) = done.tables
    assert [row.title for row in table.rows] == ["pls", "random", "semantic_matching"]
    assert [row.setting for row in table.rows] == ["unsupervised"] * 2 + ["supervised"]
    assert list(done.failures.values()) == [["zero_shot, mine, seed 0", "zero_shot, mine, seed 1"]]
    for row in table.rows:
        reached = [
            [each.metrics["test"]["map_all"][way] for way in (*each.queries.values, "average")]
            for each in row.results
        ]
        np.testing.assert_allclose(row.scores, reached)
        np.testing.assert_allclose(row.deviations, np.std(reached, axis=0, ddof=1))
    best, _ = table.best()
    assert row.means[-1] <= max(each.means[-1] for each in table.rows) == table.rows[best].means[-1]
    assert table.p(0, 1) < 0.01 and table.p(0, 0) == 1  # PLS against chance.
    found = table.comparisons[0, 1]
    low, high = found.interval
    assert low < found.difference < high and low > 0


def test_each_file_shows_every_row(whole):
    to, done, _ = whole
    with open(to / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == ["pls"] * 2 + ["random"] * 2 + [
        "semantic_matching"
    ] * 2
    results = [result for row in done.tables[0].rows for result in row.results]
    for line, result in zip(lines, results, strict=True):
        assert float(line["average"]) == pytest.approx(result.shares[-1].sum())
        of_test = result.metrics["test"]
        assert float(line["NDCG"]) == pytest.approx(of_test["ndcg"]["average"])
        ranks = of_test["median_rank"]
        assert float(line["median rank"]) == np.mean([ranks[way] for way in result.queries.values])
        assert (to / "runs" / line["run"]).is_dir()
    best = done.tables[0].rows[done.tables[0].best()[0]]
    markdown = (to / "tables.md").read_text()
    assert f"**{best.means[-1]:.3f}** ± {best.deviations[-1]:.3f}" in markdown
    assert "tfxmodal train pls --dataset features --preset paper --data-dir" in markdown
    assert "share no space" in markdown
    latex = (to / "tables.tex").read_text()
    assert rf"\textbf{{{best.means[-1]:.3f}}} $\pm$ {best.deviations[-1]:.3f}" in latex
    assert r"semantic\_matching & " in latex and "_" not in latex.replace(r"\_", "")
    (pls,) = (line.split(" & ") for line in latex.splitlines() if line.startswith("pls &"))
    names = next(line for line in latex.splitlines() if line.startswith("Method &"))
    of_pls = dict(zip(names.removesuffix(r" \\").split(" & "), pls, strict=True))
    row, result = done.tables[0].rows[0], results[0]
    assert of_pls["Seconds"] == f"{row.mean_of('seconds'):.0f}"
    assert of_pls["Parameters"] == f"{result.metrics['parameters']:,}"
    assert of_pls["Dimensions"] == str(result.metrics["embedding_dim"])
    assert of_pls["Settings"] == r"paper \\" and "Read: 6-D of an image, 5-D of a text." in latex
    runs = list(to.glob("runs/*"))
    assert all((run / "MODEL_CARD.md").exists() for run in runs)
    assert not any((run / "figures").exists() for run in runs)
    about = json.loads((to / "environment.json").read_text())
    assert "a command" in about["commands"] and set(about["data"]["mine"]) == {
        *("train", "validation", "test")
    }


def test_the_report_tells_what_its_tests_cannot(whole, tmp_path, monkeypatch):
    (table,) = whole[1].tables
    monkeypatch.setattr(significance, "SAMPLES", (200, 200))
    monkeypatch.setattr(significance, "SAMPLES_PER_PAIR", (1, 1))
    write_report(tmp_path, [replace(table)], {})  # The smallest p is 1 of 201, for 3 pairs of rows.
    page, lines = (tmp_path / "report.html").read_text(), (tmp_path / "tables.md").read_text()
    assert "<td>≤ 0.015</td>" in page and "<b>≤ 0.0149</b>" in page and "| ≤ 0.015 |" in lines
    assert "of a row of one seed over queries alone" in page
    for text in (page, lines):
        assert "a row of one seed has none" in text and "Other metrics, mean of both" in text


def test_the_page_is_one_file_that_is_well_formed(whole):
    class Checker(HTMLParser):
        open_tags: list = []

        def handle_starttag(self, tag, attributes):
            assert tag != "script"
            for name, value in attributes:
                assert name not in ("src", "href") or value.startswith("data:")
            if tag not in ("meta", "img", "html", "p", "li"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("html", "p", "li"):
                assert self.open_tags.pop() == tag

    page = (whole[0] / "report.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert not checker.open_tags
    assert page.count("<img") == 4 and 'name="viewport"' in page
    # The table, its other metrics, and any two of its rows.
    assert page.count("<tr>") == 1 + 3 + 1 + 3 + 1 + 3
    pictures = sorted((whole[0] / "figures/mine").glob("*.png"))
    assert len(pictures) == 4
    for png in pictures:
        assert base64.b64encode(png.read_bytes()).decode() in page
        assert png.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_what_a_paper_prints_stands_beside_ours(whole):
    (table,) = whole[1].tables
    there = {"printed": (0.5, 0.302, 0.402), "printed_seconds": (17.975, 0.483)}
    rows = [replace(row, **there) for row in table.rows]
    printed = replace(table, rows=rows, about="Printed: elsewhere.")
    page, lines = markdown([printed], {}).decode(), latex([printed], {}).decode().splitlines()
    for row in rows:  # The average as it is printed, though that of both directions is .401.
        line = next(line for line in page.splitlines() if line.startswith(f"| {row.method} "))
        difference = f"{row.means[-1] - 0.402:+.3f}"
        test = f"{row.mean_of('test_seconds'):.3f}"
        assert float(test) > 0
        assert line.endswith(f" | {test} | 17.975 | 0.483 | 0.402 | {difference} |")
        line = next(
            line for line in lines if line.startswith(row.method.replace("_", r"\_") + " &")
        )
        assert line.endswith(rf" & {test} & 17.975 & 0.483 & 0.402 & {difference} \\")
    assert "Printed: elsewhere." in page
    for line in csv.DictReader(results_csv([printed]).decode().splitlines()):
        told = [float(value) for name, value in line.items() if name.startswith("printed ")]
        assert told == [0.5, 0.302, 0.402, 17.975, 0.483]
    nothing = replace(rows[0], printed=None, printed_seconds=None)
    some = replace(printed, rows=[nothing, *rows[1:]])
    assert cells_of(some, 0, "{}", "{}")[-4:] == ["–"] * 4
    assert next(csv.DictReader(results_csv([some]).decode().splitlines()))["printed average"] == ""
    curves_alone = replace(table, about="Printed: a figure, without numbers.")
    page = markdown([curves_alone], {}).decode()
    assert "without numbers" in page and "| printed |" not in page
    assert latex([curves_alone], {}).decode().count("without numbers") == 1


def test_tables_of_names_that_no_file_system_tells_apart_keep_their_figures(whole, tmp_path):
    (table,) = whole[1].tables
    names = "my data", "my?data", "My-data", "my-data-2"
    write_report(tmp_path, [replace(table, name=name) for name in names], {})
    folders = [path.name for path in (tmp_path / "figures").iterdir()]
    assert sorted(folders) == ["My-data-3", "my-data", "my-data-2", "my-data-2-2"]


def test_a_start_that_is_trained_has_a_place_among_the_epochs(whole):
    (table,) = whole[1].tables
    (axes,) = _convergence({"scl": _line({0: 0.3, 1: 0.4, 2: 0.5})}, table).axes
    low, high = axes.get_xlim()
    places = axes.transData.transform([(epoch, 0.4) for epoch in (low, 0, 1, 2, high)])[:, 0]
    assert (np.diff(places) > 1).all()


def test_runs_are_measured_on_another_dataset(folder, tmp_path):
    there = write_features(tmp_path / "theirs")
    images = np.load(there / "test_img.npy")
    np.save(there / "test_img.npy", images[::-1])  # As hard as chance.
    asked = grid(folder, "pls", "random", test_on=f"features={there}")
    told, to = [], tmp_path / "to"
    reporter = Reporter()
    reporter.say = told.append
    (table,) = run_benchmark(asked, to, "a command", reporter=reporter).tables
    assert table.name == "theirs, trained on mine"
    (pls,) = (row.results[0] for row in table.rows if row.method == "pls")
    theirs = evaluate_run(load_run(pls.folder), DataConfig(dataset="features", data_dir=there))
    expected = theirs.results["pls"].metrics["map_all"]["average"]
    assert pls.shares[-1].sum() == pytest.approx(expected)
    assert pls.test["map_all"]["average"] == pytest.approx(expected)
    assert expected < pls.metrics["test"]["map_all"]["average"] - 0.1
    assert f" pls, mine, seed 0: {expected:.3f}, " in told[1]
    hashes = json.loads((to / "environment.json").read_text())["data"]
    assert hashes.keys() == {"mine", "test_on theirs"} and hashes["mine"] == pls.hashes
    measured = json.loads(next(to.glob("runs/pls-*/evaluation/*/metrics.json")).read_text())
    assert hashes["test_on theirs"]["test"] == measured["hash"]
    write_environment(to, "another", {"other": {"test": "0"}})
    kept = json.loads((to / "environment.json").read_text())["data"]
    assert kept == hashes | {"other": {"test": "0"}}

    def trained_at():
        return {path: path.stat().st_mtime_ns for path in to.glob("runs/*/metrics.json")}

    before = trained_at()
    np.save(there / "test_img.npy", images)
    (again,) = run_benchmark(asked, to, "a command").tables  # Measured, not trained.
    assert trained_at() == before
    assert again.rows[0].means[-1] > table.rows[0].means[-1] + 0.1


def test_the_other_dataset_is_loaded_once_for_all_runs(folder, tmp_path, monkeypatch):
    def again(*_):
        raise AssertionError("loaded again")

    monkeypatch.setattr(run_evaluation, "load", again)
    there = write_features(tmp_path / "theirs")
    asked = grid(folder, "pls", "random", test_on=f"features={there}")
    done = run_benchmark(asked, tmp_path / "to", "a command")
    assert not done.failures and len(done.tables[0].rows) == 2


def test_a_run_that_cannot_read_the_other_dataset_is_told(folder, tmp_path):
    there = write_features(tmp_path / "wide")
    for file in there.glob("*_img.npy"):
        np.save(file, np.repeat(np.load(file), 2, axis=1))
    done = run_benchmark(grid(folder, "pls", test_on=f"features={there}"), tmp_path / "to", "a")
    (reason,) = done.failures
    assert not done.tables and "image features are 12 wide and those that" in reason


def test_runs_that_exist_make_the_same_tables(whole, tmp_path):
    to, done, _ = whole
    results = [Result(path.parent) for path in sorted(to.glob("runs/*/metrics.json"))]
    (table,) = tables_of_runs(results)
    expected = {row.title: row.means for row in done.tables[0].rows}
    assert {row.title for row in table.rows} == expected.keys()
    for row in table.rows:
        np.testing.assert_allclose(row.means, expected[row.title])
    with pytest.raises(InputError, match="`runs` names two of the same settings and seed"):
        tables_of_runs([results[0], *results])
    (results[0].folder / "per_query.npz").rename(tmp_path / "kept")
    with pytest.raises(InputError, match="has no per_query.npz: .* by `resume`"):
        Result(results[0].folder)
    (tmp_path / "kept").rename(results[0].folder / "per_query.npz")


def test_runs_of_one_method_are_told_apart_by_their_settings(folder, tmp_path):
    asked, board = grid(folder, "semantic_matching", label_noise=(0.0, 0.5)), Board(tmp_path)
    sources = asked.sources()
    cells = list(train(asked, sources, asked.cells(sources), board))
    titles = ["semantic_matching, label noise 0.0", "semantic_matching, label noise 0.5"]
    for (table,) in (
        tables_of(cells, board),
        tables_of_runs([Result(board.run(cell)) for cell in cells]),
    ):
        assert [row.title for row in table.rows] == titles


def test_pairs_of_two_folders_share_a_table_where_their_test_pairs_are_the_same(tmp_path):
    one, other = (write_features(tmp_path / name) for name in ("v1", "v2"))
    images = np.load(other / "train_img.npy")
    np.save(other / "train_img.npy", images[::-1])
    board = Board(tmp_path)
    runs = []
    for folder, methods in ((one, ("pls",)), (other, ("pls", "random"))):
        asked = grid(folder, *methods)
        sources = asked.sources()
        runs += [board.run(cell) for cell in train(asked, sources, asked.cells(sources), board)]
    (table,) = tables_of_runs([Result(run) for run in runs])
    assert table.name == "v1, v2" and table.p(0, 1) < 1
    assert [row.title for row in table.rows] == [
        *("pls, training pairs v1", "pls, training pairs v2", "random")
    ]


def test_seeds_are_one_row_only_where_validation_pairs_and_encoders_are_the_same(tmp_path):
    one, other = (write_features(tmp_path / name) for name in ("v1", "v2"))
    np.save(other / "validation_img.npy", np.load(other / "validation_img.npy")[::-1])
    board, runs = Board(tmp_path), []
    for seed, folder in enumerate((one, other)):
        asked = grid(folder, "pls", seeds=(seed,))
        sources = asked.sources()
        runs += [board.run(cell) for cell in train(asked, sources, asked.cells(sources), board)]

    def titles():
        (table,) = tables_of_runs([Result(run) for run in runs])
        return [row.title for row in table.rows]

    def record(run, **about):
        model = json.loads((run / "model.json").read_text())
        (run / "model.json").write_text(json.dumps(model | about))
        return model

    assert titles() == ["pls, validation pairs v1", "pls, validation pairs v2"]
    first, _ = (record(run, image_encoder="aa") for run in runs)
    record(runs[1], hashes=first["hashes"])
    assert titles() == ["pls"]
    record(runs[1], image_encoder="bb")
    assert titles() == ["pls, image encoder vgg19 (aa)", "pls, image encoder vgg19 (bb)"]
    for run in runs:  # Its random weights are other ones of each seed.
        config = json.loads((run / "config.json").read_text())
        config["data"]["image_weights"] = "random"
        (run / "config.json").write_text(json.dumps(config))
    assert titles() == ["pls"]


def chosen_from(run, settings: list[dict], minutes: float):
    """Makes a run one that validation chose from candidates, by their settings."""
    listed = [{"name": f"form {n}", "settings": each} for n, each in enumerate(settings)]
    tried = {"minutes": minutes, "candidates": listed[::-1]}
    (run / "candidates.json").write_text(json.dumps(tried))


def test_seeds_of_a_choice_are_one_row_whatever_was_chosen_in_whatever_time(folder, tmp_path):
    asked, board = grid(folder, "deep_sm", seeds=(0, 1), epochs=1, set=SMALL), Board(tmp_path)
    sources = asked.sources()
    runs = [board.run(cell) for cell in train(asked, sources, asked.cells(sources), board)]
    forms = []
    for run, share, rate in zip(runs, (2.9, 3.1), (0.01, 0.02), strict=True):
        config = json.loads((run / "config.json").read_text())
        training = config["training"] | {"minutes": share}
        forms.append([config | {"training": training | {"learning_rate": r}} for r in (0.01, 0.02)])
        config["training"] = training | {"learning_rate": rate}
        (run / "config.json").write_text(json.dumps(config))
    (table,) = tables_of_runs([Result(run) for run in runs])
    assert len(table.rows) == 2
    for run, of_run in zip(runs, forms, strict=True):
        chosen_from(run, of_run, minutes=10.0)
    (table,) = tables_of_runs([Result(run) for run in runs])
    assert [row.title for row in table.rows] == ["deep_sm"] and len(table.rows[0].results) == 2
    chosen_from(runs[1], forms[1], minutes=20.0)
    (table,) = tables_of_runs([Result(run) for run in runs])
    assert [row.title for row in table.rows] == ["deep_sm, minutes 10.0", "deep_sm, minutes 20.0"]


def test_seeds_of_a_choice_between_methods_are_one_row_of_auto(folder, tmp_path):
    asked, board = grid(folder, "pls", "semantic_matching", seeds=(0, 1)), Board(tmp_path)
    sources = asked.sources()
    cells = list(train(asked, sources, asked.cells(sources), board))
    runs = {(cell.method, cell.seed): board.run(cell) for cell in cells}
    for seed, method in enumerate(("pls", "semantic_matching")):
        both = [
            json.loads((run / "config.json").read_text())
            for (_, of), run in runs.items()
            if of == seed
        ]
        chosen_from(runs[method, seed], both, minutes=10.0)
    chosen = runs["pls", 0], runs["semantic_matching", 1]
    (table,) = tables_of_runs([Result(run) for run in chosen])
    (row,) = table.rows
    assert row.title == "auto" and row.setting == "supervised" and len(row.results) == 2


def test_without_labels_recall_is_compared(tmp_path):
    unlabelled = write_features(tmp_path / "bare", labels=False)
    done = run_benchmark(grid(unlabelled, "pls", "random", "deep_sm"), tmp_path / "to", "a command")
    (table,) = done.tables
    assert table.measure == "mean of R@1, R@5 and R@10" and len(table.rows) == 2
    (reason,) = done.failures
    assert reason.startswith("deep_sm learns from labels")
    recalls = table.rows[0].results[0].metrics["test"]["recall_at"]["average"]
    assert table.rows[0].means[-1] == pytest.approx(np.mean(list(recalls.values())))
    assert (tmp_path / "to/report.html").read_text().count("<img") == 2


def test_test_pairs_without_labels_are_compared_by_recall(folder, tmp_path, monkeypatch):
    def without(*given):
        data = load(*given)
        return data.replace_splits(test=replace(data.test, labels=0 * data.test.labels))

    monkeypatch.setattr(grids, "load", without)
    told, reporter = [], Reporter()
    reporter.say = told.append
    asked = grid(folder, "pls", "deep_sm", epochs=2, set=SMALL)
    done = run_benchmark(asked, tmp_path / "to", "a command", reporter=reporter)
    (table,) = done.tables
    assert not done.failures and table.measure == "mean of R@1, R@5 and R@10"
    for row, line in zip(table.rows, told[1:], strict=True):
        recalls = row.results[0].metrics["test"]["recall_at"]["average"]
        assert row.means[-1] == pytest.approx(np.mean(list(recalls.values())))
        assert f"{row.method}, mine, seed 0: {row.means[-1]:.3f}, " in line
    page = (tmp_path / "to/tables.md").read_text()
    assert "nan" not in page and "mAP@all" not in page.partition("| method | mAP@50")[0]
    assert "nan" not in (tmp_path / "to/results.csv").read_text()
    assert (tmp_path / "to/report.html").read_text().count("<img") == 3


def test_convergence_and_a_grid_of_two_settings_are_drawn(folder, tmp_path, monkeypatch):
    given = {"labelled_fraction": (0.5, 1.0), "label_noise": (0.0, 0.5), "set": SMALL}
    asked, board = grid(folder, "deep_sm", epochs=2, **given), Board(tmp_path)
    sources = asked.sources()
    (table,) = tables_of(list(train(asked, sources, asked.cells(sources), board)), board)
    for row in table.rows:
        best = row.results[0].metrics
        logged = row.results[0].convergence
        assert list(logged) == [1, 2]
        assert max(logged.values()) == pytest.approx(best["validation"]["map_all"]["average"])
    assert figures_of(table).keys() >= {"convergence", "surface_deep_sm"}
    surface = _surface("deep_sm", _over_two_settings(table.rows), table)
    heights = surface.axes[0].images[0].get_array()
    for row in table.rows:
        x = [0.5, 1.0].index(row.variant["labelled_fraction"])
        y = [0.0, 0.5].index(row.variant["label_noise"])
        assert heights[y, x] == pytest.approx(row.means[-1])
        preset, *others = row.settings.split("; ")
        assert preset == "paper" and {*others} == {
            *("hidden_units=[4]", "batch_size=16", "learning_rate=0.01", "epochs=2")
        }
    assert _over_two_settings(table.rows[:1]) and not _over_two_settings(
        [replace(row, variant={"label_noise": 0.5}) for row in table.rows]
    )
