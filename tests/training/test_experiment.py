"""A whole training as one call, on small made-up pairs."""

import json
import os
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import SMALL, make_pairs
from tfxmodal.data.databases import joined, with_database
from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.io.locks import InUse
from tfxmodal.io.reporter import Reporter
from tfxmodal.methods import METHODS
from tfxmodal.serving.export.signatures import ServedRun
from tfxmodal.training import experiment
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.replicas import make_strategy
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.run_folder import RunFolder
from tfxmodal.training.settings import Settings
from tfxmodal.training.trained_run import load_run

GRADIENT = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01}


def dataset() -> Dataset:
    splits = (make_pairs(n, seed=n) for n in (64, 24, 24))
    return Dataset("features", *splits, class_names=("a", "b", "c"))


def settings(method: str, **values) -> Settings:
    given = SMALL.get(method, {}) | (GRADIENT if METHODS[method].learner else {}) | values
    return Settings(method, DataConfig("features")).having(**given)


def results(metrics: dict) -> dict:
    """Metrics but for what depends on the clock."""
    timed = {"seconds", "pairs_per_second", "test_seconds"}
    return {name: metrics[name] for name in metrics.keys() - timed}


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"distil"}))  # See test_teacher.
def test_every_method_ends_in_a_run_that_opens_as_it_was(method, tmp_path):
    data, spec = dataset(), METHODS[method]
    if spec.shared_space(spec.config()):  # Both features are to be of one width.
        data = data.replace_splits(
            **{
                name: pairs.with_features(pairs.images, np.pad(pairs.texts, [(0, 0), (0, 1)]))
                for name, pairs in data.splits()
            }
        )
    result = run_experiment(settings(method), tmp_path / "run", dataset=data)
    assert result.finished and result.folder == tmp_path / "run"
    assert 0 < result.metrics["test"]["map_all"]["average"] < 1
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == result.metrics
    card = (tmp_path / "run/MODEL_CARD.md").read_text()
    reached = result.metrics["test"]["map_all"]["image_to_text"]
    assert f"(`{method}`)" in card and f"value: {reached}" in card
    run = load_run(result.folder)
    assert run.settings == result.settings and run.metrics == result.metrics
    again = experiment.evaluate_pairs(run.scorer(), data.test)
    assert again["map_all"] == pytest.approx(result.metrics["test"]["map_all"], abs=1e-6)
    if run.method.networks:  # Else it cannot be exported.
        assert_served_as_measured(run, data.test)


def assert_served_as_measured(run, pairs):
    """Asserts that what an export writes gives the vectors and scores of the scorer."""
    served = {
        name: tf.function(each.function, list(each.inputs.values()), autograph=False)
        for name, each in ServedRun(run).signatures().items()
    }
    scorer = run.scorer()
    images, texts = scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts)
    for name, rows, expected in (("image", pairs.images, images), ("text", pairs.texts, texts)):
        found = served[f"embed_{name}_features"](rows)
        assert found["valid"].numpy().all()
        np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)
    scores = served["score_embedding_pairs"](images, texts)["score"]
    np.testing.assert_allclose(scores, np.diagonal(scorer.score(images, texts)), atol=1e-4)


def test_it_says_nothing(tmp_path, capfd):
    run_experiment(settings("pls"), tmp_path / "run", dataset=dataset())
    assert capfd.readouterr().out == ""


def test_the_random_numbers_of_the_caller_go_on_as_if_nothing_had_been(tmp_path):
    keras.utils.set_random_seed(3)
    expected = np.random.random(3), keras.random.uniform([3]).numpy()
    keras.utils.set_random_seed(3)
    policy = keras.config.dtype_policy()
    mixed = settings("scl", precision="mixed_bfloat16")
    run_experiment(mixed, tmp_path / "run", dataset=dataset())
    assert keras.config.dtype_policy() == policy
    found = np.random.random(3), keras.random.uniform([3]).numpy()
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_process_trains_twice_on_two_replicas(tmp_path, monkeypatch, two_devices):
    monkeypatch.setattr(experiment, "make_strategy", partial(make_strategy, *two_devices))
    for dim in (4, 6):  # Of one shape the second training could do with what the first left.
        given = settings("scl", epochs=1, embedding_dim=dim)
        assert run_experiment(given, tmp_path / str(dim), dataset=dataset()).finished


def test_a_stopped_run_goes_on_by_itself_alone_and_with_more_epochs(tmp_path):
    whole = run_experiment(settings("scl", epochs=6), tmp_path / "whole", dataset=dataset())
    asked = iter([False, False, True])
    stopped = run_experiment(
        settings("scl"), tmp_path / "run", dataset=dataset(), stop_asked=lambda: next(asked)
    )
    assert not stopped.finished and not (tmp_path / "run/metrics.json").exists()
    more = settings("scl", epochs=6)
    ended = run_experiment(more, tmp_path / "run", resume=True, dataset=dataset())
    assert results(ended.metrics) == results(whole.metrics)
    assert load_run(tmp_path / "run").settings == more.having(mi_negatives=0)


def other(split: str) -> Dataset:
    """The dataset with other pairs in one split."""
    return dataset().replace_splits(**{split: make_pairs(len(getattr(dataset(), split)), 9)})


@pytest.mark.parametrize("method", ["scl", "pls"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_run_does_not_go_on_with_other_pairs(method, split, tmp_path):
    given, run = settings(method), tmp_path / "run"
    before = run_experiment(given, run, dataset=dataset())
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(
        InputError, match=f"begun with other pairs .*{split}: .*give those as `data"
    ):
        run_experiment(given, run, resume=True, dataset=other(split))
    assert {path: path.read_bytes() for path in files} == files
    again = run_experiment(given, run, resume=True, dataset=other("test"))
    assert again.metrics["validation"] == before.metrics["validation"]
    assert again.metrics["test"] != before.metrics["test"]


def test_a_run_does_not_go_on_with_another_encoder(tmp_path):
    given, run = settings("pls"), tmp_path / "run"
    run_experiment(given, run, dataset=dataset())
    model = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(model | {"image_encoder": "another"}))
    with pytest.raises(InputError, match="with another image encoder .fingerprint another -> None"):
        run_experiment(given, run, resume=True, dataset=dataset())
    del model["image_encoder"], model["hashes"]  # As an earlier version may have left it.
    (run / "model.json").write_text(json.dumps(model))
    assert run_experiment(given, run, resume=True, dataset=dataset()).finished


@pytest.mark.parametrize(
    ("limit", "more"), [({"minutes": 1e-6}, {"minutes": 10.0}), ({"patience": 1}, {"patience": 9})]
)
def test_why_no_epoch_follows_is_told(limit, more, tmp_path):
    def run(**values):
        given = settings("scl", epochs=9, **{"learning_rate": 1e-12} | values)
        told, reporter = [], Reporter()
        reporter.say = told.append
        options = {"dataset": dataset(), "reporter": reporter}
        return run_experiment(given, tmp_path / "run", True, **options).metrics["epochs"], told

    ended, _ = run(**limit)
    assert ended < 9
    ((name, value),) = limit.items()
    told = f"No epoch follows epoch {ended}: `{name}` {value:g} ended the training, and with more"
    again, heard = run(**limit)
    assert again == ended and any(each.startswith(told) for each in heard)
    more, heard = run(**more)
    assert more == 9 and f"Resuming after epoch {ended}, with a new optimizer." in heard
    assert "No epoch follows epoch 9: all epochs are done." in run()[1]


def test_a_run_with_a_schedule_keeps_to_its_epochs(tmp_path):
    given, run = settings("acmr"), tmp_path / "run"
    run_experiment(given, run, dataset=dataset())
    told = "`epochs` must be the 3 .* since acmr follows a schedule .*; received 6: leave it out"
    with pytest.raises(InputError, match=told):
        run_experiment(given.having(epochs=6), run, resume=True, dataset=dataset())
    without = given.having(adversary_weight=0.0)
    assert without.having(epochs=6).continuing(without).training.epochs == 6


def test_a_full_disk_is_told_in_a_sentence_and_the_run_goes_on_when_there_is_room(
    tmp_path, file_limit, complaint
):
    class Filling(Reporter):
        def epoch(self, report):
            if report.epoch == 2:
                file_limit(8192)

    given, folder, filling = settings("scl", hidden_units=64), tmp_path / "run", Filling()
    told = complaint(lambda _: run_experiment(given, folder, dataset=dataset(), reporter=filling))
    file_limit(None)
    assert f"File too large: {folder}" in told and told.endswith("the same command again.")
    left = [path.name for path in folder.rglob("*")]
    assert not [name for name in left if "temp" in name or "partial" in name or "lock" in name]
    ended = run_experiment(given, folder, resume=True, dataset=dataset())
    assert ended.finished and ended.metrics["epochs"] == 3


def test_what_the_settings_leave_open_is_decided_and_told(tmp_path, monkeypatch):
    class Ear(Reporter):
        def say(self, text):
            heard.append(text)

    heard, trained = [], []
    monkeypatch.setattr(experiment, "_train", lambda settings, *_: trained.append(settings))
    data = dataset().replace_splits(train=make_pairs(80))
    given = settings("scl", alpha=0.01, mi_negatives="auto")
    run_experiment(given, tmp_path / "run", dataset=data, reporter=Ear())
    assert trained == [given.having(mi_negatives=8)]
    assert "takes 8 negatives a pair" in heard[0]


def test_a_second_process_with_the_same_folder_is_told(tmp_path):
    with RunFolder(tmp_path / "run").claimed(resume=False):
        for resume in (False, True):
            with pytest.raises(InUse, match=f"run is in use by process {os.getpid()} on "):
                run_experiment(settings("pls"), tmp_path / "run", resume, dataset())
    assert run_experiment(settings("pls"), tmp_path / "run", dataset=dataset()).finished


@pytest.mark.parametrize(
    ("method", "labels", "told"),
    [
        ("drsl", False, "drsl learns from labels"),
        ("semantic_matching", False, "semantic_matching learns from labels"),
    ],
)
def test_what_cannot_be_learned_is_told_before_anything_is_built(method, labels, told, tmp_path):
    data = dataset()
    bare = {name: pairs.with_features() for name, pairs in data.splits()}
    for pairs in bare.values():
        object.__setattr__(pairs, "labels", None)
    with pytest.raises(InputError, match=told):
        run_experiment(settings(method), tmp_path / "run", dataset=data.replace_splits(**bare))
    assert not (tmp_path / "run").exists()


APART = [name for name, spec in METHODS.items() if spec.needs_classes]


@pytest.mark.parametrize(
    ("method", "values", "classes", "told"),
    [
        ("scl", {"labelled_fraction": 0.1}, 0, "`labelled_fraction` 0.1 needs labels"),
        ("sdml", {"embedding_dim": 2}, 3, "`embedding_dim` must be at least .* 3, .*received 2"),
        *(
            (name, {}, 1, "must separate .* of 1 class.*: give rows of at least two")
            for name in APART
        ),
    ],
)
def test_labels_that_do_not_suffice_are_told_before_any_feature_is_made(
    method, values, classes, told, tmp_path, monkeypatch
):
    monkeypatch.setattr(experiment, "prepare", None)
    data = dataset()
    data.train.labels[:, classes:] = 0
    with pytest.raises(InputError, match=told):
        run_experiment(settings(method, **values), tmp_path / "run", dataset=data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["semantic_matching", "deep_sm"])
def test_pairs_with_labels_in_training_alone_are_selected_by_recall(method, tmp_path, monkeypatch):
    data = dataset()
    unlabelled = replace(data.validation, labels=np.zeros_like(data.validation.labels))
    data = data.replace_splits(validation=unlabelled)
    result = run_experiment(settings(method), tmp_path / "run", dataset=data)
    assert result.metrics["validation"]["map_all"]["average"] is None
    monkeypatch.setattr(experiment, "prepare", None)  # Told before any feature is made.
    with pytest.raises(InputError, match="`select_by` map needs labels of the validation split"):
        run_experiment(settings(method, select_by="map"), tmp_path / "map", dataset=data)


def test_supervised_methods_tell_how_many_rows_have_no_label(tmp_path):
    told, data = [], dataset()
    data.train.labels[:20] = data.test.labels[:4] = 0
    reporter = Reporter()
    reporter.say = told.append
    result = run_experiment(
        settings("semantic_matching"), tmp_path / "run", dataset=data, reporter=reporter
    )
    assert "20 training rows have no label: semantic_matching leaves them out." in told
    without = result.metrics["test"]["queries_without_relevant"]
    assert without == {"image_to_text": 4, "text_to_image": 4}


def captioned(n: int, seed: int) -> Pairs:
    """Image features without labels, with two captions each that tell of them."""
    pairs, rng = make_pairs(n, seed), np.random.default_rng(seed)
    words = np.array("red green blue dark light small large near far old".split())
    texts = [
        tuple(
            " ".join(words[rng.random(10) < 0.3 + 0.5 * (image[0] > 0)]) + f" {place}"
            for place in ("here", "there")
        )
        for image in pairs.images
    ]
    return Pairs(pairs.ids, pairs.images, texts)


@pytest.mark.parametrize(
    "values, told",
    [
        ({"label_noise": 0.2}, "what `label_noise` 0.2 hides"),
        ({"labelled_fraction": 0.5}, "what `labelled_fraction` 0.5 hides"),
        ({}, None),
    ],
)
def test_encoders_that_know_hidden_labels_are_told(values, told, tmp_path):
    def of(n):
        pairs = make_pairs(n, n)
        return pairs.with_features(texts=[(f"w{row % 3} x",) for row in range(n)])

    data, said = Dataset("pairs", *map(of, (40, 20, 10)), class_names=("a", "b", "c")), []
    (tmp_path / "text").mkdir()
    TextCNN.create(data.train.texts, 20, "random", "random").save(tmp_path / "text")
    given = DataConfig("pairs", text_encoder=f"text_cnn:{tmp_path}/text", cache_dir=tmp_path / "c")
    given = replace(settings("semantic_matching"), data=given).having(**values)
    reporter = Reporter()
    reporter.say = said.append
    run_experiment(given, tmp_path / "run", dataset=data, reporter=reporter)
    lines = [line for line in said if "were trained on labels" in line]
    assert len(lines) == (told is not None)
    assert all(told in line and f"{tmp_path}/text" in line for line in lines)


def test_each_caption_is_a_pair_and_what_selects_is_what_is_reported(tmp_path):
    data = Dataset("pairs", *(captioned(n, n) for n in (40, 20, 10)))
    each = replace(
        settings("ridge_cca"), data=DataConfig("pairs", captions="each", cache_dir=tmp_path / "c")
    )
    result = run_experiment(each, tmp_path / "run", dataset=data)
    found = result.metrics["validation"]
    assert found["gallery"] == {"image_to_text": 40, "text_to_image": 20}
    mean_recall = np.mean(list(found["recall_at"]["average"].values()))
    assert mean_recall == pytest.approx(max(result.metrics["tried"].values()))
    again = evaluate_run(load_run(result.folder), data)
    assert again.results["ridge_cca"].metrics == result.metrics["test"]


def test_settings_without_effect_are_refused_when_a_run_begins(tmp_path):
    data, run = dataset(), RunFolder(tmp_path / "run")
    given = settings("ridge_cca", image_encoder="efficientnet_lite0")
    with pytest.raises(InputError, match="`image_encoder` efficientnet_lite0 would have no effect"):
        run_experiment(given, run.path, dataset=data)
    assert not run.path.exists()
    first = run_experiment(settings("ridge_cca"), run.path, dataset=data, figures=False)
    run.write_json("config.json", given.to_json())  # As an earlier version let it begin.
    again = run_experiment(given, run.path, True, data, figures=False)
    assert again.metrics["test"] == first.metrics["test"]
    evaluate_run(load_run(run.path), data, figures=False)


def test_what_one_of_several_methods_reads_is_given_to_all(tmp_path):
    data = Dataset("pairs", *(captioned(n, n) for n in (40, 20, 10)))
    config = DataConfig("pairs", text_mode="static", cache_dir=tmp_path / "c")
    given = replace(settings("ridge_cca"), data=config)
    with pytest.raises(InputError, match="`text_mode` static would have no effect"):
        run_experiment(given, tmp_path / "run", dataset=data)
    assert run_experiment(given, tmp_path / "run", dataset=data, shared={}, figures=False).finished


def test_refit_learns_from_validation_too_and_is_measured_there_before(tmp_path):
    data = dataset()
    before = run_experiment(settings("ridge_cca"), tmp_path / "before", dataset=data)
    after = run_experiment(settings("ridge_cca", refit=True), tmp_path / "after", dataset=data)
    for name in ("chosen", "tried", "validation"):
        assert after.metrics[name] == before.metrics[name]
    every = data.replace_splits(train=joined([data.train, data.validation]))
    chosen = settings("ridge_cca", **after.metrics["chosen"])
    expected = run_experiment(chosen, tmp_path / "every", dataset=every)
    assert after.metrics["test"] == expected.metrics["test"] != before.metrics["test"]
    with pytest.raises(InputError, match="`split` validation is among what .* has learned from"):
        evaluate_run(load_run(after.folder), data, data, split="validation")


def test_what_refit_learned_from_is_known_by_its_pairs(tmp_path):
    """The same pairs under another name, or in another split's place, are no new ones."""
    data = dataset()
    given = settings("ridge_cca", refit=True)
    run = load_run(run_experiment(given, tmp_path / "run", dataset=data, figures=False).folder)
    copied = dataset()
    for measured, split in (
        (copied, "validation"),
        (replace(copied, name="renamed"), "validation"),
        (copied.replace_splits(test=copied.validation), "test"),
    ):
        with pytest.raises(InputError, match=f"`split` {split} is among what .* has learned from"):
            evaluate_run(run, measured, split=split, figures=False)
    unseen = other("validation")
    with pytest.raises(InputError, match="`split` validation is among what"):
        evaluate_run(run, unseen, unseen, "validation", figures=False)  # The run's own, changed.
    found = evaluate_run(run, unseen, split="validation", figures=False)
    assert found.metrics["ridge_cca"]["map_all"]["average"] > 0


def test_other_pairs_do_not_calibrate_a_run(tmp_path):
    data = dataset()
    run = load_run(run_experiment(settings("ridge_cca"), tmp_path / "run", dataset=data).folder)
    file = run.folder.path / "calibration.json"
    before = file.read_bytes()
    moved = DataConfig("features", data_dir=tmp_path / "other")  # Without `dataset`: both are one.
    unlike = other("validation")
    evaluate_run(run, moved, moved, "validation", figures=False, dataset=unlike)
    assert file.read_bytes() == before
    file.unlink()
    evaluate_run(run, dataset(), split="validation", figures=False)
    assert file.read_bytes() == before


def test_a_run_of_an_earlier_version_knows_its_own_pairs_by_their_place(tmp_path):
    data = dataset()
    given = settings("ridge_cca", refit=True)
    folder = run_experiment(given, tmp_path / "run", dataset=data, figures=False).folder
    model = json.loads((folder / "model.json").read_text())
    del model["hashes"]
    (folder / "model.json").write_text(json.dumps(model))
    run = load_run(folder)
    with pytest.raises(InputError, match="`split` validation is among what .* has learned from"):
        evaluate_run(run, data, data, "validation", figures=False)
    named = evaluate_run(run, data, data, figures=False).folder.path.name
    assert named == "features-test"


def test_evaluations_on_other_pairs_have_folders_of_their_own(tmp_path, monkeypatch):
    drawn = iter([{"tsne": b"1", "retrieved": b"1"}, {"tsne": b"2"}])
    monkeypatch.setattr("tfxmodal.training.run_evaluation.draw", lambda *_, **__: next(drawn))
    data = dataset()
    run = load_run(run_experiment(settings("pls"), tmp_path / "run", dataset=data).folder)
    first = evaluate_run(run, data)
    among = with_database(data, "train")
    places = {evaluate_run(run, each, figures=False).folder.path for each in (among, other("test"))}
    names = sorted(path.name for path in places)
    assert len(names) == 2 and all(name.startswith("features-test-") for name in names)
    assert first.folder.path.name == "features-test"
    kept = json.loads((first.folder.path / "metrics.json").read_text())
    assert kept["methods"]["pls"]["map_all"] == run.metrics["test"]["map_all"]
    for path in places:
        other_metrics = json.loads((path / "metrics.json").read_text())
        assert path.name == f"features-test-{other_metrics['hash'][:8]}"
    # Measured again, it has no figure of before.
    again = evaluate_run(run, data)
    assert again.folder.path == first.folder.path
    assert [path.name for path in (first.folder.path / "figures").iterdir()] == ["tsne.png"]
    evaluate_run(run, data, figures=False)
    assert not (first.folder.path / "figures").exists()


def test_embeddings_of_one_component_are_measured_and_drawn(tmp_path, figures):
    given = settings("pls", components=1)
    result = run_experiment(given, tmp_path / "run", dataset=dataset())
    assert result.finished and result.metrics["embedding_dim"] == 1
    drawn = {path.stem for path in (tmp_path / "run/figures").iterdir()}
    assert drawn == {"precision_recall", "precision_scope", "tsne"}


def test_what_was_measured_is_there_where_the_figures_fail_and_resume_draws_them(
    tmp_path, monkeypatch, figures
):
    def fails(*_, **__):
        raise RuntimeError("no figure")

    data, folder = dataset(), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no figure"):
        patch.setattr(experiment, "draw", fails)
        run_experiment(settings("pls"), folder, dataset=data)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (folder / "MODEL_CARD.md").exists() and not (folder / "figures").exists()
    ended = run_experiment(settings("pls"), folder, resume=True, dataset=data)
    assert results(ended.metrics) == results(metrics)
    assert (folder / "figures/tsne.png").exists()


def test_where_one_split_has_no_labels_refit_leaves_its_rows_out(tmp_path):
    data = dataset()
    bare = replace(data.validation, labels=None)
    fitted = settings("semantic_matching", refit=True)
    result = run_experiment(
        fitted, tmp_path / "run", dataset=data.replace_splits(validation=bare), splits=("test",)
    )
    alone = run_experiment(
        settings("semantic_matching", **result.metrics["chosen"]), tmp_path / "alone", dataset=data
    )
    assert result.metrics["test"] == alone.metrics["test"]
    both = joined([bare, data.train])
    assert not both.labels[:24].any() and (both.labels[24:] == data.train.labels).all()


def test_what_refit_cannot_learn_from_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "prepare", None)
    data = dataset()
    unpaired = replace(data.train, text_labels=data.train.labels)
    with pytest.raises(InputError, match="`refit` .* are not paired: leave it out"):
        run_experiment(
            settings("semantic_matching", refit=True),
            tmp_path / "run",
            dataset=data.replace_splits(train=unpaired),
        )
    few = settings("semantic_matching", refit=True, labelled_fraction=0.25)
    with pytest.raises(InputError, match="`refit` .* `labelled_fraction` 0.25 .*leave one"):
        run_experiment(few, tmp_path / "run", dataset=data)
    noisy = settings("semantic_matching", refit=True, label_noise=0.2)
    with pytest.raises(InputError, match="`refit` .* `label_noise` 0.2 .*leave one"):
        run_experiment(noisy, tmp_path / "run", dataset=data)
    assert not (tmp_path / "run").exists()


def test_what_is_exact_stays_exact_in_a_refit(tmp_path, monkeypatch):
    def landmarks(**values) -> int:
        given = settings("kcca", refit=True, components=3, **values)
        run = run_experiment(given, tmp_path / str(values), dataset=dataset(), figures=False)
        return load_run(run.folder).method.networks["text_encoder"].layers[2].count

    for name, rows in (("EXACT", 70), ("NYSTROEM", 40)):
        monkeypatch.setattr(f"tfxmodal.methods.closed_form.kcca.{name}", rows)
    assert [landmarks(), landmarks(landmarks=30)] == [64 + 24, 30]


@pytest.mark.parametrize("method", ["semantic_matching", "scl"])
def test_baselines_see_the_labels_that_the_run_saw(method, tmp_path, monkeypatch):
    """A baseline that is the run's own method has the run's own metrics."""
    data, few = dataset(), {"labelled_fraction": 0.2, "labelled_rows": "first"}
    run = run_experiment(settings(method, **few), tmp_path / "run", dataset=data, figures=False)
    alone = settings("semantic_matching", **few)
    alone = run_experiment(alone, tmp_path / "alone", dataset=data, figures=False)
    found = evaluate_run(load_run(run.folder), data, data, baselines=["semantic_matching"])
    *_, baseline = found.results.values()
    assert baseline.metrics == alone.metrics["test"]


def test_a_baseline_of_the_runs_own_method_stands_beside_it(tmp_path):
    data = dataset()
    run, plain = (
        run_experiment(given, tmp_path / name, dataset=data, figures=False)
        for name, given in (
            ("run", settings("ridge_cca", weighting=0.0)),
            ("plain", settings("ridge_cca")),
        )
    )
    found = evaluate_run(
        load_run(run.folder), data, data, baselines=["ridge_cca", "random"], figures=False
    )
    assert list(found.results) == ["ridge_cca", "ridge_cca, baseline", "random"]
    assert found.results["ridge_cca"].metrics == run.metrics["test"] != plain.metrics["test"]
    assert found.results["ridge_cca, baseline"].metrics == plain.metrics["test"]
    for name in ("per_query.npz", "curves.json"):
        kept = found.folder.path / name
        assert kept.read_bytes() == (run.folder / name).read_bytes()


def test_baselines_are_chosen_as_the_run_was(tmp_path, monkeypatch):
    data, asked = dataset(), []
    run = run_experiment(settings("pls", select_by="recall"), tmp_path / "run", dataset=data)
    fit = METHODS["ridge_cca"].fit

    def heard(*args):
        asked.append(args[3])
        return fit(*args)

    patched = {"ridge_cca": replace(METHODS["ridge_cca"], fit=heard)}
    monkeypatch.setattr("tfxmodal.training.run_evaluation.METHODS", patched)
    evaluate_run(load_run(run.folder), data, data, baselines=["ridge_cca"])
    assert asked == ["recall"]
