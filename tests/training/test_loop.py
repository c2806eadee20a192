from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.norms import measured
from tests.training.tiny import (
    OneReplica,
    assert_bit_equal,
    checkpoint_tensors,
    make_pairs,
    make_trainer,
    weights,
)
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import evaluate, selection_score
from tfxmodal.training import loop
from tfxmodal.training.batches import epoch_rows
from tfxmodal.training.loop import Interrupted, NonFiniteLoss


def same_score():
    return 0.0, {}


def never():
    return False


# --- one replica equals two ---------------------------------------------------------------

SEMI_SUPERVISED = {
    "image_scaling": "standard",
    "text_scaling": "center",
    "alpha": 0.5,
    "mi_negatives": 3,
    "invariance_norm": "frobenius",
    "positive_in_denominator": True,
    "share_last_layer": False,
    "labelled_fraction": 0.4,
    "gamma": 2.0,
    "unsupervised_weight": 0.7,
}
BATCH_NORM = {"encoder_batch_norm": True, "relation_batch_norm": True, "relation_layers": 2}
ALL_TERMS = {
    "SCL semi-supervised": {"scl": SEMI_SUPERVISED},
    "DRSL": {"drsl": {"image_scaling": "unit", "pair_weights": "balanced", **BATCH_NORM}},
}


@contextmanager
def float64():
    """Keras in double precision."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module", params=ALL_TERMS)
def runs(request, two_replicas, tmp_path_factory):
    """Method, initial weights, reports and trainer of one run on one replica and of one on two."""
    found = []
    with float64(), measured():
        for strategy in (None, two_replicas):
            folder = tmp_path_factory.mktemp("run")
            method, trainer = make_trainer(folder, strategy, **ALL_TERMS[request.param])
            start = weights(method)
            found.append((method, start, list(trainer.epochs(same_score)), trainer))
    return found


def test_two_replicas_equal_one_in_float64(runs):
    (one, start, reports, _), (two, _, other_reports, _) = runs
    assert one.weights.keys() == reports[0].losses.keys() - {"total"}
    for ours, theirs in zip(reports, other_reports, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-10, abs=1e-10)
        assert ours.gradient_norms == pytest.approx(theirs.gradient_norms, rel=1e-10, abs=1e-10)
    assert reports[0].gradient_norms.keys() == reports[0].losses.keys()
    for before, ours, theirs in zip(start, weights(one), weights(two), strict=True):
        assert ours.dtype == theirs.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)
        if ours.ndim == 2:  # Some biases cancel out, in a softmax or batch normalisation.
            assert np.abs(ours - before).max() > 1e-3  # Training moved it.


def test_gradient_norms_are_those_of_each_weighted_term(runs):
    method, start, reports, trainer = runs[0]
    for variable, value in zip(method.trainable_variables(), start, strict=True):
        variable.assign(value)
    train, batch = make_pairs(), {}
    for name, rows in trainer.plan(1).items():
        rows = rows[0, 0]
        columns = {"images": train.images, "texts": train.texts, "labels": train.labels}
        batch[name] = {key: tf.constant(value[rows], tf.float64) for key, value in columns.items()}
    variables = [variable.value for variable in method.trainable_variables()]
    with float64(), tf.GradientTape(persistent=True) as tape:
        terms = method.loss_terms(batch, OneReplica())
        targets = {name: method.weights[name] * terms[name] for name in method.weights}
        targets["total"] = tf.add_n(list(targets.values()))
    for name, target in targets.items():
        gradients = [g for g in tape.gradient(target, variables) if g is not None]
        norm = np.sqrt(sum(np.sum(np.square(tf.convert_to_tensor(g))) for g in gradients))
        assert reports[0].gradient_norms[name] == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize(("batch_size", "sizes"), [(15, "14 or 16"), (63, "62 or 64"), (1, "2")])
def test_a_batch_that_replicas_cannot_share_equally_is_refused(
    batch_size, sizes, two_replicas, tmp_path
):
    message = f"`batch_size` {batch_size} cannot be shared equally by 2 replicas: give {sizes}, or"
    with pytest.raises(InputError, match=message):
        make_trainer(tmp_path, two_replicas, batch_size=batch_size)
    make_trainer(tmp_path, two_replicas, batch_size=65)  # All 64 rows are one batch.


# --- the feeds ----------------------------------------------------------------------------


@pytest.mark.usefixtures("gradient_norms")
def test_streamed_run_equals_one_from_memory_bit_for_bit(tmp_path):
    scl = {"dropout": 0.2, "labelled_fraction": 0.3}
    runs = {}
    for feed in ("memory", "stream"):
        _, trainer = make_trainer(tmp_path / feed, scl=scl, feed=feed)
        assert trainer.streams_from_disk == (feed == "stream")
        runs[feed] = list(trainer.epochs(same_score))
    assert_bit_equal(*(checkpoint_tensors(tmp_path / feed / "last") for feed in runs))
    for one, other in zip(*runs.values(), strict=True):
        assert one.losses == other.losses
        assert one.gradient_norms == pytest.approx(other.gradient_norms)


def test_auto_streams_what_does_not_fit(tmp_path):
    one_row = 1e-9 * 4 * (6 + 5 + 3)
    for gigabytes, streams in ((64 * one_row, False), (63 * one_row, True)):
        _, trainer = make_trainer(tmp_path, memory_gb=gigabytes)
        assert trainer.streams_from_disk == streams


# --- resuming -----------------------------------------------------------------------------


@pytest.mark.usefixtures("gradient_norms")
def test_resumed_run_is_bit_equal_to_an_uninterrupted_one(tmp_path, monkeypatch):
    # The first run decides by itself how many steps go into a call, the others make single steps.
    options = {
        "drsl": {"dropout": 0.3, **BATCH_NORM},
        "epochs": 4,
        "gradient_norms_every": 3,
        "patience": 9,
    }

    def score_of(method):
        return lambda: (float(np.sin(1e3 * weights(method)[0].sum())), {})

    method, trainer = make_trainer(tmp_path / "whole", **options)
    reports = list(trainer.epochs(score_of(method)))
    monkeypatch.setattr(loop, "_SECONDS_A_CALL", 0)

    method, trainer = make_trainer(tmp_path / "parts", **options)
    for report in trainer.epochs(score_of(method)):
        if report.epoch == 3:
            break  # As a kill does before the state after it is saved.

    method, trainer = make_trainer(tmp_path / "parts", **options)
    assert trainer.restore_last()
    assert trainer.state.epoch == 2
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        next(trainer.epochs(score_of(method), lambda: next(asked)))
    assert (trainer.state.epoch, trainer.state.step) == (2, 3)

    method, trainer = make_trainer(tmp_path / "parts", **options)
    assert trainer.restore_last()
    assert (trainer.state.epoch, trainer.state.step) == (2, 3)
    rest = list(trainer.epochs(score_of(method)))

    assert [report.epoch for report in rest] == [3, 4]
    assert [report.losses for report in rest] == [report.losses for report in reports[2:]]
    assert [report.score for report in rest] == [report.score for report in reports[2:]]
    for name in ("last", "best"):
        whole, parts = (checkpoint_tensors(tmp_path / run / name) for run in ("whole", "parts"))
        assert_bit_equal(whole, parts)
    assert any(name.startswith("random/") for name in checkpoint_tensors(tmp_path / "parts/last"))


def test_stop_after_the_last_step_of_an_epoch(tmp_path):
    _, trainer = make_trainer(tmp_path, batch_size=64)  # One step an epoch.
    with pytest.raises(Interrupted):
        next(trainer.epochs(same_score, lambda: True))
    _, trainer = make_trainer(tmp_path, batch_size=64)
    trainer.restore_last()
    report = next(trainer.epochs(same_score))
    assert report.epoch == 1
    assert np.isfinite(list(report.losses.values())).all()


def test_an_epoch_is_checkpointed_on_its_way(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SECONDS_A_CALL", 1e9)  # However slow: 1, 2, 4 steps a call.
    seen = []

    def progress(step, steps):
        if (tmp_path / "last" / "checkpoint").exists():
            seen.append(make_trainer(tmp_path)[1])
            seen[-1].restore_last()

    _, trainer = make_trainer(tmp_path, checkpoint_minutes=1e-9)
    next(trainer.epochs(same_score, never, progress))
    assert [(other.state.epoch, other.state.step) for other in seen] == [(0, 1), (0, 3)]


# --- selection ----------------------------------------------------------------------------


def scores(*values):
    """A validation that gives these scores, one after the other."""
    left = iter(values)

    def validate():
        score = next(left)
        return score, {"score": score}

    return validate


def test_patience_stops_and_the_best_epoch_is_kept(tmp_path):
    method, trainer = make_trainer(tmp_path, epochs=9, patience=3)
    after, reports = {}, []
    for report in trainer.epochs(scores(0.1, 0.3, 0.2, 0.3, 0.25, 0.9)):
        after[report.epoch] = weights(method)
        reports.append(report)
    assert [report.improved for report in reports] == [True, True, False, False, False]
    assert [report.validation["score"] for report in reports] == [0.1, 0.3, 0.2, 0.3, 0.25]
    assert (trainer.state.best_epoch, trainer.state.best_score) == (2, 0.3)

    trainer.checkpoints.restore_best()
    for kept, epoch_2, last in zip(weights(method), after[2], after[5], strict=True):
        np.testing.assert_array_equal(kept, epoch_2)
        assert (kept != last).any()

    _, resumed = make_trainer(tmp_path, epochs=9, patience=3)
    resumed.restore_last()
    assert list(resumed.epochs(scores())) == []


def test_validates_every_so_often_and_at_the_end(tmp_path):
    _, trainer = make_trainer(tmp_path, epochs=5, validate_every=2, patience=0)
    reports = list(trainer.epochs(scores(0.3, 0.2, 0.1)))
    assert [report.score for report in reports] == [None, 0.3, None, 0.2, 0.1]
    assert reports[0].validation is None
    assert trainer.state.best_epoch == 2


@pytest.mark.usefixtures("gradient_norms")
def test_gradient_norms_are_measured_every_so_often(tmp_path):
    _, trainer = make_trainer(tmp_path, epochs=4, gradient_norms_every=2)
    measured = [bool(report.gradient_norms) for report in trainer.epochs(same_score)]
    assert measured == [True, True, False, True]


@pytest.mark.usefixtures("gradient_norms")
def test_measuring_gradient_norms_changes_no_result(tmp_path):
    found = {}
    for every in (1, 3, 0):
        method = {"drsl": {"dropout": 0.3, **BATCH_NORM}}
        options = {**method, "epochs": 12, "gradient_norms_every": every}
        _, trainer = make_trainer(tmp_path / str(every), **options)
        reports = list(trainer.epochs(same_score))
        measured = [report.epoch for report in reports if report.gradient_norms]
        assert measured == {1: [*range(1, 13)], 3: [1, 3, 6, 9, 12], 0: []}[every]
        found[every] = checkpoint_tensors(tmp_path / str(every) / "last")
    assert_bit_equal(found[1], found[0])
    assert_bit_equal(found[3], found[0])


def test_the_last_epoch_is_kept_where_nothing_is_selected(tmp_path):
    method, trainer = make_trainer(tmp_path, epochs=3, patience=1, select_by="last")
    reports = list(trainer.epochs(scores(0.3, 0.2, 0.1)))
    assert [report.score for report in reports] == [0.3, 0.2, 0.1]
    assert [report.improved for report in reports] == [False, False, True]
    assert (trainer.state.best_epoch, trainer.state.best_score) == (3, 0.1)
    last = weights(method)
    trainer.checkpoints.restore_best()
    for kept, value in zip(weights(method), last, strict=True):
        np.testing.assert_array_equal(kept, value)


@pytest.mark.parametrize("select_by", ["auto", "last"])
def test_a_training_ends_when_its_time_is_up(tmp_path, select_by):
    method, trainer = make_trainer(tmp_path, epochs=9, minutes=1e-9, select_by=select_by)
    assert [report.improved for report in trainer.epochs(same_score)] == [True]
    ended = weights(method)
    trainer.checkpoints.restore_best()
    for kept, value in zip(weights(method), ended, strict=True):
        np.testing.assert_array_equal(kept, value)


@pytest.mark.parametrize("limits", [{"select_by": "last"}, {"validate_every": 9}])
def test_a_run_that_is_resumed_to_end_early_keeps_its_last_epoch(limits, tmp_path):
    _, trainer = make_trainer(tmp_path, epochs=9, **limits)
    for report in trainer.epochs(same_score):
        if report.epoch == 3:
            break
    method, trainer = make_trainer(tmp_path, epochs=2, **limits)
    trainer.restore_last()
    ended = weights(method)
    assert list(trainer.epochs(scores())) == []
    assert trainer.state.best_epoch == 2
    trainer.checkpoints.restore_best()
    for kept, value in zip(weights(method), ended, strict=True):
        np.testing.assert_array_equal(kept, value)


# --- the end ------------------------------------------------------------------------------


def size(folder) -> int:
    return sum(file.stat().st_size for file in folder.glob("*/ckpt-*"))


def test_a_finished_run_keeps_networks_and_state_alone(tmp_path):
    wide = {"hidden_units": 2000}
    method, trainer = make_trainer(tmp_path, scl=wide)
    list(trainer.epochs(same_score))
    networks = sum(array.nbytes for array in weights(method))
    assert size(tmp_path) > 3.9 * networks  # Best, last and Adam's two moments of each weight.
    trainer.finish()
    assert size(tmp_path) < 2.2 * networks
    kept = sorted(file.name for file in tmp_path.glob("*/*.index"))
    assert kept == ["ckpt-1.index", "ckpt-3.index"]
    ended = weights(method)

    method, trainer = make_trainer(tmp_path, scl=wide)
    assert trainer.restore_last()
    assert trainer.state.finished
    for now, value in zip(weights(method), ended, strict=True):
        np.testing.assert_array_equal(now, value)
    assert list(trainer.epochs(same_score)) == []
    trainer.finish()
    assert (tmp_path / "last" / "ckpt-3.index").exists()  # Not written again.


def test_a_finished_run_goes_on_with_more_epochs(tmp_path):
    _, trainer = make_trainer(tmp_path)
    list(trainer.epochs(scores(0.1, 0.2)))
    trainer.finish()
    _, trainer = make_trainer(tmp_path, epochs=3)
    assert trainer.restore_last()
    assert trainer.state.finished
    (report,) = trainer.epochs(scores(0.15))
    assert (report.epoch, report.improved) == (3, False)
    assert not trainer.state.finished
    names = checkpoint_tensors(tmp_path / "last")
    assert any(name.startswith("optimizers/all/") for name in names)
    assert names["state/best_epoch"] == 2


# --- trouble ------------------------------------------------------------------------------


def test_non_finite_loss_names_term_epoch_and_step(tmp_path):
    def plan(epoch):
        return epoch_rows({"unlabelled": np.arange(65)}, 16, 1, 0, epoch)["unlabelled"]

    (left_out,) = set(range(65)) - set(plan(1).ravel())  # By epoch 1; epoch 2 has it.
    step = int(np.argwhere(plan(2) == left_out)[0, 0])
    train = make_pairs(65)
    train.texts[left_out, 2] = np.nan

    method, trainer = make_trainer(tmp_path, train=train)
    epochs = trainer.epochs(same_score)
    next(epochs)
    before = weights(method)
    what = r"(gradient|loss term '\w+')"  # A ReLU gives 0 or NaN for NaN, as the machine has it.
    message = f"The {what} became nan in epoch 2, step {step + 1}: lower `learning_rate`"
    with pytest.raises(NonFiniteLoss, match=message):
        next(epochs)

    method, trainer = make_trainer(tmp_path, train=train)
    trainer.restore_last()
    assert trainer.state.epoch == 1
    for kept, value in zip(weights(method), before, strict=True):
        np.testing.assert_array_equal(kept, value)


def test_a_weight_beyond_float32_is_told(tmp_path):
    _, trainer = make_trainer(tmp_path, scl={"beta": 3e38})
    with pytest.raises(NonFiniteLoss, match="'total' became inf in epoch 1, step 1"):
        next(trainer.epochs(same_score))


# --- precision ----------------------------------------------------------------------------


def trained_score(folder, precision) -> float:
    """The validation score after a few epochs; checks dtypes and losses on the way."""
    scl = {"labelled_fraction": 0.2, "image_scaling": "standard"}
    keras.config.set_dtype_policy(precision)
    try:
        method, trainer = make_trainer(folder, scl=scl, epochs=6, precision=precision)
        scorer, split = method.scorer(), make_pairs(100, seed=1)

        def validate():
            images, texts = scorer.embed_images(split.images), scorer.embed_texts(split.texts)
            assert images.dtype == texts.dtype == np.float32
            metrics = evaluate(scorer, split.with_features(images, texts))
            return selection_score(metrics), metrics

        untrained, _ = validate()
        reports = list(trainer.epochs(validate))
    finally:
        keras.config.set_dtype_policy("float32")
    for report in reports:
        assert np.isfinite([*report.losses.values(), *report.gradient_norms.values()]).all()
    for name, value in checkpoint_tensors(folder / "last").items():
        assert name.startswith("state/") or value.dtype in (np.float32, np.int64, np.int32), name
    assert reports[-1].score > untrained + 0.05
    return reports[-1].score


def test_mixed_bfloat16_trains_as_well_as_float32(tmp_path):
    full = trained_score(tmp_path / "full", "float32")
    mixed = trained_score(tmp_path / "mixed", "mixed_bfloat16")
    assert mixed == pytest.approx(full, abs=0.03)
    assert mixed != full
