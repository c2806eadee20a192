"""A choice by validation between trainings, on small made-up pairs."""

import json
import shutil
from dataclasses import replace

import pytest

from tests.training.test_experiment import dataset, settings
from tests.training.tiny import make_pairs
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import selection_score
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.prepare import prepare
from tfxmodal.training import experiment
from tfxmodal.training.candidates import run_best, suited
from tfxmodal.training.config import FitConfig
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.run_folder import CONFIG, METRICS, OF_ITS_END, TRIED
from tfxmodal.training.trained_run import load_run

CANDIDATES = {
    "pls": settings("pls"),
    "scl": settings("scl"),
    "broken": settings("scl", learning_rate=1e30),  # Its loss becomes NaN.
}
QUICK = {name: settings("pls", components=number) for number, name in enumerate("ab", 1)}


def choose(folder, candidates=CANDIDATES, **options):
    options = {"minutes": 10.0, "run_dir": folder, "dataset": dataset()} | options
    return run_best(lambda _: candidates, DataConfig("features"), "auto", **options)


def unlabelled():
    whole = dataset()
    return whole.replace_splits(
        **{name: replace(pairs, labels=None) for name, pairs in whole.splits()}
    )


def listed(folder) -> dict[str, dict]:
    """What was tried, by name."""
    return {each["name"]: each for each in json.loads((folder / TRIED).read_text())["candidates"]}


def tried(folder) -> dict[str, float | None]:
    return {name: each["score"] for name, each in listed(folder).items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A choice that was not stopped."""
    return choose(tmp_path_factory.mktemp("runs") / "run")


def test_the_winner_is_an_ordinary_run_of_the_best_validation_score(whole, tmp_path):
    result, scores = whole, tried(whole.folder)
    alone = {
        name: run_experiment(CANDIDATES[name], tmp_path / name, dataset=dataset())
        for name in ("pls", "scl")
    }
    expected = {name: selection_score(run.metrics["validation"]) for name, run in alone.items()}
    assert scores == pytest.approx(expected | {"broken": None})
    best = max(expected, key=expected.get)
    assert list(scores)[0] == best and list(scores)[-1] == "broken"
    assert result.settings.method == CANDIDATES[best].method
    assert result.metrics["test"] == alone[best].metrics["test"]
    assert load_run(result.folder).metrics == result.metrics
    assert not (result.folder / "candidates").exists()
    assert json.loads((result.folder / TRIED).read_text())["minutes"] == 10.0  # Of all together.


def test_where_the_last_epoch_is_kept_the_candidates_are_compared_by_validation(tmp_path):
    forms = {
        name: settings("scl", dropout=d, select_by="last") for name, d in (("a", 0), ("b", 1e-3))
    }
    result = choose(tmp_path / "run", forms)
    assert result.finished and None not in tried(tmp_path / "run").values()
    assert result.metrics["selected_epoch"] == result.metrics["epochs"]


def test_the_pairs_are_prepared_once_for_all(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(
        experiment, "prepare", lambda *args, **named: done.append(1) or prepare(*args, **named)
    )
    choose(tmp_path / "run", QUICK)
    assert len(done) == 1


def test_a_choice_that_was_stopped_goes_on(whole, tmp_path):
    asked = iter([False] * 4 + [True] * 100)
    stopped = choose(tmp_path / "run", stop_asked=lambda: next(asked))
    assert not stopped.finished and stopped.folder == tmp_path / "run"
    with pytest.raises(InputError, match="holds a run already; add `resume`"):
        choose(tmp_path / "run")
    result = choose(tmp_path / "run", resume=True)
    assert tried(tmp_path / "run") == tried(whole.folder)
    assert result.metrics["test"] == whole.metrics["test"]


def test_a_choice_goes_on_with_its_own_settings_and_pairs_alone(tmp_path):
    asked = iter([False] * 4 + [True] * 100)
    choose(tmp_path / "run", stop_asked=lambda: next(asked))
    other = CANDIDATES | {"scl": CANDIDATES["scl"].having(seed=1)}
    with pytest.raises(InputError, match="begun with other settings .training.seed: 0 -> 1"):
        choose(tmp_path / "run", other, resume=True)
    with pytest.raises(InputError, match=r"other settings .run.candidates: .* -> \['pls', 'scl'\]"):
        choose(tmp_path / "run", {name: other[name] for name in ("pls", "scl")}, resume=True)
    with pytest.raises(InputError, match="begun with other pairs"):
        choose(tmp_path / "run", resume=True, dataset=dataset().replace_splits(train=make_pairs()))
    assert not (tmp_path / "run" / TRIED).exists()


def test_a_choice_that_is_made_goes_on_with_its_own_pairs_alone(tmp_path):
    choose(tmp_path / "run", QUICK)
    with pytest.raises(InputError, match="data.dataset: features -> emoji_scenes"):
        run_best(
            lambda _: QUICK, DataConfig("emoji_scenes"), "auto", 1.0, tmp_path / "run", resume=True
        )


def test_a_choice_in_which_nothing_began_leaves_no_folder(tmp_path):
    with pytest.raises(InputError):
        choose(tmp_path / "run", {"drsl": settings("drsl")}, dataset=unlabelled())
    assert not (tmp_path / "run").exists()


def test_a_winner_whose_files_were_half_moved_is_moved(tmp_path, monkeypatch):
    from tfxmodal.training import candidates

    def killed(winner, run):
        (winner / "model.json").rename(run.path / "model.json")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(candidates, "_promote", killed)
        choose(tmp_path / "run", QUICK)
    assert choose(tmp_path / "run", QUICK, resume=True).finished
    assert load_run(tmp_path / "run").metrics["test"]


def test_a_winner_is_not_taken_for_a_run_that_came_to_its_end(tmp_path, monkeypatch):
    """Until it is measured on the test split: killed before, it goes on."""
    from tfxmodal.training import candidates

    def killed(chosen, run, *arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(candidates, "run_claimed", killed)
        choose(tmp_path / "run", QUICK)
    assert (tmp_path / "run" / CONFIG).exists()
    assert not [name for name in OF_ITS_END if (tmp_path / "run" / name).exists()]
    assert choose(tmp_path / "run", QUICK, resume=True).metrics["test"]


def test_a_finished_choice_is_measured_again_as_it_was(tmp_path):
    first = choose(tmp_path / "run", QUICK).metrics["test"]
    assert choose(tmp_path / "run", QUICK, resume=True).metrics["test"] == first


def test_no_candidate_left_is_told(tmp_path):
    need_labels = {name: settings(name) for name in ("drsl", "semantic_matching")}
    told = r"None of the candidates can be trained \(drsl: .*; semantic_matching: "
    with pytest.raises(InputError, match=told):
        choose(tmp_path / "run", need_labels, dataset=unlabelled())
    one = {name: settings("drsl", epochs=number) for name, number in (("a", 1), ("b", 2))}
    with pytest.raises(InputError, match="^drsl learns from labels"):
        choose(tmp_path / "other", one, dataset=unlabelled())


def test_the_time_is_divided(tmp_path):
    named = {f"scl-{number}": settings("scl", epochs=500, patience=0) for number in range(2)}
    result = choose(tmp_path / "run", named, minutes=1e-6)
    assert result.metrics["epochs"] == 1


def fits_take(monkeypatch, seconds: float):
    """Every fit in closed form says that it took so long."""
    fit = experiment._fit

    def slow(*given):
        outcome = fit(*given)
        return replace(outcome, facts=outcome.facts | {"seconds": seconds})

    monkeypatch.setattr(experiment, "_fit", slow)


def test_fits_and_failures_leave_the_others_all_the_time(tmp_path, monkeypatch):
    fits_take(monkeypatch, 10_000.0)
    choose(tmp_path / "run", {name: CANDIDATES[name] for name in ("pls", "broken", "scl")})
    of = listed(tmp_path / "run")
    assert of["pls"]["seconds"] == 10_000.0 and of["broken"]["score"] is None
    shares = [of[name]["settings"]["training"]["minutes"] for name in ("broken", "scl")]
    assert shares == [5.0, 10.0]


def test_what_is_done_stays_as_it_is_when_a_choice_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    named = {"pls": settings("pls")} | {
        name: settings("scl", dropout=dropout) for name, dropout in (("a", 0.0), ("b", 0.1))
    }
    of_last = folder / "candidates/b" / CONFIG
    with monkeypatch.context() as patch:
        fits_take(patch, 10_000.0)
        assert not choose(folder, named, stop_asked=of_last.exists).finished
    assert of_last.exists()
    before = {
        name: json.loads((folder / "candidates" / name / METRICS).read_text())
        for name in ("pls", "a")
    }
    assert choose(folder, named, resume=True).finished
    after = listed(folder)
    assert {name: after[name]["seconds"] for name in before} == {
        name: metrics["seconds"] for name, metrics in before.items()
    }


def test_what_is_done_goes_on_where_it_is_given_more(tmp_path):
    def stopped(folder, epochs: int, **options):
        named = {
            name: settings("scl", dropout=d, epochs=epochs) for name, d in (("a", 0), ("b", 0.1))
        }
        last = folder / "candidates/b" / CONFIG
        choose(folder, named, stop_asked=last.exists, **options)
        return json.loads((folder / "candidates/a" / METRICS).read_text())["epochs"]

    assert stopped(tmp_path / "run", 1) == 1
    shutil.rmtree(tmp_path / "run/candidates/b")  # So that it is not stopped before.
    assert stopped(tmp_path / "run", 2, resume=True) == 2


def test_a_choice_that_is_made_goes_on_with_its_own_settings_alone(tmp_path):
    choose(tmp_path / "run", QUICK)
    others = {name: each.having(components=3) for name, each in QUICK.items()}
    with pytest.raises(InputError, match="other settings .pls.components: . -> 3"):
        choose(tmp_path / "run", others, resume=True)


def test_a_run_that_was_trained_by_itself_goes_on_as_it_is(tmp_path):
    run_experiment(QUICK["a"], tmp_path, dataset=dataset())
    result = choose(tmp_path, QUICK, resume=True)
    assert result.finished and result.settings.config == QUICK["a"].config


def test_what_suits_has_the_labels_that_it_needs():
    labelled, without = dataset(), unlabelled()

    def of(data):
        return suited(data, DataConfig("features"), FitConfig(seed=3)).values()

    methods = {
        each: [s.method for s in of(data)]
        for each, data in (("labelled", labelled), ("unlabelled", without))
    }
    assert {"semantic_matching", "drsl"} <= set(methods["labelled"]) - set(methods["unlabelled"])
    assert {"scl", "pls", "ridge_cca"} <= set(methods["unlabelled"])
    assert "random" not in methods["labelled"]
    kinds = [s.spec.fit is None for s in of(labelled)]
    assert kinds == sorted(kinds)  # Quick ones first.
    assert {s.training.seed for s in of(labelled)} == {3}
