"""Several updates a step, and several stages a training."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.adversarial import Adversarial, Staged, make, score_of
from tests.training.test_loop import float64, same_score, scores
from tests.training.tiny import (
    SMALL,
    assert_bit_equal,
    checkpoint_tensors,
    make_pairs,
    method_of,
    small_method,
    weights,
)
from tfxmodal.io.reporter import Reporter
from tfxmodal.methods.adversarial.cm_gans import CMGANs, CMGANsConfig
from tfxmodal.methods.learner import Stage
from tfxmodal.training import loop
from tfxmodal.training.experiment import run_epochs
from tfxmodal.training.summaries import Summaries

TERMS = ["distance", "confusion", "adversary", "total"]


def of(method, *names):
    return [weight for name in names for weight in method.networks[name].get_weights()]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def changed(before, now) -> list[bool]:
    return [bool((a != b).any()) for a, b in zip(before, now, strict=True)]


class One(Adversarial):
    """Only one of the two updates."""

    def __init__(self, name):
        super().__init__()
        self._name = name

    def updates(self):
        return [update for update in super().updates() if update.name == self._name]


@pytest.mark.parametrize(
    "name, moved, still",
    [
        ("encoders", ["image_encoder", "text_encoder"], ["adversary"]),
        ("adversary", ["adversary"], ["image_encoder", "text_encoder"]),
    ],
)
def test_an_update_leaves_the_others_variables_bit_equal(tmp_path, name, moved, still):
    method, trainer = make(tmp_path, One, options={"name": name}, epochs=1)
    before = of(method, *moved), of(method, *still)
    list(trainer.epochs(same_score))
    assert all(changed(before[0], of(method, *moved)))
    assert_same(before[1], of(method, *still))


class Twice(Adversarial):
    """The adversary's update is made twice a step, by one optimizer."""

    def updates(self):
        times = {"encoders": 1, "adversary": 2}
        return [replace(each, times=times[each.name]) for each in super().updates()]


@pytest.mark.parametrize("first", ["encoders", "adversary"])
def test_the_second_update_sees_what_the_first_has_changed(tmp_path, first):
    """One step, against the two updates written out, of which one is made twice."""
    options = {"first": first}
    with float64():
        method, trainer = make(tmp_path, Twice, options=options, epochs=1)
        rows = trainer.plan(1)["pairs"][0, 0]
        expected = Twice(first=first)
        for name, network in method.networks.items():
            expected.networks[name].set_weights(network.get_weights())
        pairs = make_pairs()
        columns = {"images": pairs.images[rows], "texts": pairs.texts[rows]}
        batch = {"pairs": {name: tf.constant(rows, tf.float64) for name, rows in columns.items()}}
        for update in expected.updates():
            optimizer = update.optimizer(0.05)
            for _ in range(update.times):
                with tf.GradientTape() as tape:
                    terms = update.losses(batch, None)
                    total = tf.add_n([w * terms[name] for name, w in update.weights.items()])
                optimizer.apply(tape.gradient(total, update.variables), update.variables)
        trainer._steps.run(trainer.plan(1), 0, 1)
    for ours, theirs in zip(weights(method), weights(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("gradient_norms")
def test_every_term_gradient_norm_and_learning_rate_is_reported(tmp_path):
    _, trainer = make(tmp_path, epochs=1)
    (report,) = trainer.epochs(same_score)
    assert list(report.losses) == list(report.gradient_norms) == TERMS
    distance, confusion, adversary, total = report.losses.values()
    assert total == pytest.approx(distance + 0.5 * confusion + 2 * adversary, rel=1e-5)
    assert all(norm > 0 for norm in report.gradient_norms.values())
    assert report.learning_rates == pytest.approx({"encoders": 0.05, "adversary": 0.1})
    assert report.stage is None


@pytest.mark.usefixtures("gradient_norms")
def test_two_replicas_equal_one_in_float64(two_replicas, tmp_path):
    found = []
    with float64():
        for strategy in (None, two_replicas):
            method, trainer = make(tmp_path / str(len(found)), Staged, strategy)
            found.append((weights(method), list(trainer.epochs(same_score)), weights(method)))
    (start, reports, ours), (_, others, theirs) = found
    assert all(changed(start, ours))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
    for one, two in zip(reports, others, strict=True):
        assert one.losses == pytest.approx(two.losses, rel=1e-10, abs=1e-10)
        assert one.gradient_norms == pytest.approx(two.gradient_norms, rel=1e-10, abs=1e-10)


def test_updates_and_terms_that_share_a_name_are_refused(tmp_path):
    class Same(Adversarial):
        def updates(self):
            return [replace(update, name="same") for update in super().updates()]

    class SameTerms(Adversarial):
        def updates(self):
            one = super().updates()[0]
            return [one, replace(one, name="again")]

    for method_class, what in ((Same, "updates"), (SameTerms, "loss terms")):
        with pytest.raises(ValueError, match=f"The {what} of stage 'all' share a name"):
            make(tmp_path, method_class)


# --- stages -------------------------------------------------------------------------------


def test_stages_have_their_own_epochs_updates_and_reports(tmp_path):
    method, trainer = make(tmp_path, Staged, epochs=2)
    adversary, reports, validated = of(method, "adversary"), [], []

    def validate():
        validated.append(trainer.state.epoch)
        return score_of(method)()

    for report in trainer.epochs(validate):
        reports.append(report)
        assert any(changed(adversary, of(method, "adversary"))) == (report.epoch > 3)
    assert trainer.most_epochs == 5
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5]
    assert [report.stage for report in reports] == ["alone"] * 3 + ["against"] * 2
    assert list(reports[0].losses) == ["distance", "confusion", "total"]
    assert list(reports[3].losses) == ["adversary", "distance", "confusion", "total"]
    assert [report.score is None for report in reports] == [True] * 3 + [False] * 2
    assert validated == [4, 5]


@pytest.mark.parametrize("validated, handed_on", [(True, 2), (False, 3)])
def test_a_stage_hands_on_its_best_epoch_or_its_last(tmp_path, validated, handed_on):
    options = {"validated": (validated, True)}
    method, trainer = make(tmp_path, Staged, options=options, epochs=1)
    after, kept = {}, []
    # The second stage's 0.05, though below the first's, is the best of its own.
    epochs = trainer.epochs(scores(*([0.1, 0.3, 0.2] if validated else []), 0.05))
    for report in epochs:
        after[report.epoch] = of(method, "image_encoder")
        kept += [report.epoch] if report.improved else []
        if report.epoch == 3:
            trainer._goes_on()
            assert_same(of(method, "image_encoder"), after[handed_on])
            assert (trainer.state.stage, trainer.state.stage_epoch) == (1, 0)
    assert kept == [*([1, 2] if validated else [3]), 4]
    assert trainer.state.best_epoch == 4
    trainer.checkpoints.restore_best()
    assert_same(of(method, "image_encoder"), after[4])


def test_each_stage_has_its_own_patience(tmp_path):
    class Validated(Adversarial):
        def stages(self):
            return [Stage(name, self.updates(), epochs=9) for name in ("one", "two")]

    _, trainer = make(tmp_path, Validated, patience=2)
    falling = [0.9, 0.8, 0.7, 0.3, 0.4, 0.2, 0.1]
    reports = list(trainer.epochs(scores(*falling)))
    assert [report.stage for report in reports] == ["one"] * 3 + ["two"] * 4
    assert trainer.state.best_epoch == 5


# --- killed -------------------------------------------------------------------------------


def with_adam(method_class):
    return partial(method_class, optimizer=keras.optimizers.Adam, dropout=0.2)


def first_and_last_of_cmdn():
    """Its first stage trains machines, which draw units at random; the others take too long."""
    method = small_method("cmdn", make_pairs(), stage_epochs=2)
    first, *_, last = method.stages()
    method.stages = lambda: [first, last]
    return method


@pytest.mark.parametrize(
    ("made", "judge", "kills", "updates", "epochs"),
    [
        (with_adam(Adversarial), "adversary", [2], ["encoders", "adversary"], 4),
        (with_adam(Staged), "adversary", [2, 5], ["encoders", "adversary"], 7),
        (first_and_last_of_cmdn, "image_encoder", [1], ["shared 1"], 6),
    ],
)
def test_a_run_killed_in_any_stage_ends_as_one_that_was_not(
    made, judge, kills, updates, epochs, tmp_path
):
    """Left after an epoch, and taken up by new networks and optimizers."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, ends in ((whole, [None]), (parts, [*kills, None])):
        for end in ends:
            method, trainer = make(folder, made)
            trainer.restore_last()
            for report in trainer.epochs(score_of(method, judge)):
                if report.epoch == end:
                    break
    for kind in ("last", "best"):
        assert_bit_equal(*(checkpoint_tensors(folder / kind) for folder in (whole, parts)))
    held = checkpoint_tensors(parts / "last")
    for update in updates:
        assert any(name.startswith(f"optimizers/{update}/") for name in held)
    assert held["state/epoch"] == epochs


@pytest.mark.parametrize("select_by", ["auto", "last"])
def test_a_run_stopped_in_the_epoch_in_which_its_time_passes(select_by, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SECONDS_A_CALL", 0)  # Single steps.

    def train(folder, stops: bool):
        limits = {"minutes": 5.0, "select_by": select_by}
        method, trainer = make(folder, with_adam(Staged), **limits)
        trainer.restore_last()

        def asked() -> bool:
            if (trainer.state.epoch, trainer.state.step) != (1, 2):
                return False
            trainer.state.seconds = 1e3
            return stops

        list(trainer.epochs(score_of(method), asked))
        return trainer.state

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, False).cut_short == ["alone"]
    with pytest.raises(loop.Interrupted):
        train(parts, True)
    assert train(parts, False).epoch == 3
    for kind in ("last", "best"):
        assert_bit_equal(*(checkpoint_tensors(folder / kind) for folder in (whole, parts)))


def test_a_run_killed_between_two_stages(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = {"optimizer": keras.optimizers.Adam, "validated": (True, True)}
    method, trainer = make(whole, Staged, options=options)
    list(trainer.epochs(score_of(method)))

    method, trainer = make(parts, Staged, options=options)
    save_last = trainer.checkpoints.save_last

    def killed(optimizers):
        if trainer.state.stage:  # It has restored the best epoch, and saves the new stage's begin.
            raise KeyboardInterrupt
        save_last(optimizers)

    monkeypatch.setattr(trainer.checkpoints, "save_last", killed)
    with pytest.raises(KeyboardInterrupt):
        list(trainer.epochs(score_of(method)))

    method, trainer = make(parts, Staged, options=options)
    assert trainer.restore_last()
    assert (trainer.state.stage, trainer.state.stage_epoch) == (0, 3)
    list(trainer.epochs(score_of(method)))
    for kind in ("last", "best"):
        assert_bit_equal(*(checkpoint_tensors(folder / kind) for folder in (whole, parts)))


def mortal(base):
    """A method whose process dies, when told to, between its first update and its second."""

    class Mortal(base):
        dies, begun = False, ()

        def begin_epoch(self, done):
            super().begin_epoch(done)
            self.begun = (*self.begun, done)

        def updates(self):
            first, second = super().updates()
            return [first, replace(second, losses=partial(self.or_death, first, second))]

        def or_death(self, first, second, batch, replicas):
            def live(changed):
                assert not self.dies
                return changed

            changed = first.variables[0].value  # So it is after the first update.
            with tf.control_dependencies([tf.numpy_function(live, [changed], changed.dtype)]):
                return second.losses(batch, replicas)

    return Mortal


def toy():
    return mortal(Adversarial)(keras.optimizers.Adam, dropout=0.2, first="adversary")


def cm_gans():
    return method_of(mortal(CMGANs), make_pairs(), CMGANsConfig(**SMALL["cm_gans"]))


@pytest.mark.parametrize(("made", "judge"), [(toy, "adversary"), (cm_gans, "image_intra")])
def test_a_run_killed_between_two_updates_of_a_step_keeps_nothing_of_it(
    made, judge, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "_SECONDS_A_CALL", 0)  # Single steps.
    given = {"method_class": made, "epochs": 2, "checkpoint_minutes": 1e-9}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    method, trainer = make(whole, **given)
    list(trainer.epochs(score_of(method, judge)))

    method, trainer = make(parts, **given)
    kept = {}

    def variables(method):
        return [[each.numpy() for each in update.variables] for update in method.updates()]

    def progress(step, steps):
        method.dies = step == 3
        kept["at"] = variables(method)

    with pytest.raises(tf.errors.OpError):
        next(trainer.epochs(score_of(method, judge), progress=progress))
    first, second = variables(method)
    assert any(changed(kept["at"][0], first))
    assert_same(kept["at"][1], second)

    method, trainer = make(parts, **given)
    assert trainer.restore_last()
    assert (trainer.state.epoch, trainer.state.step) == (0, 3)
    for before, now in zip(kept["at"], variables(method), strict=True):
        assert_same(before, now)
    list(trainer.epochs(score_of(method, judge)))
    assert method.begun == (0, 0.5)  # Again, within the first epoch.
    for kind in ("last", "best"):
        assert_bit_equal(*(checkpoint_tensors(folder / kind) for folder in (whole, parts)))


def test_each_stage_has_its_share_of_the_time_and_which_it_cut_short_is_told(tmp_path):
    stages, told, reporter = [], [], Reporter()
    reporter.epoch, reporter.say = lambda report: stages.append(report.stage), told.append
    for resume in (False, True):
        _, trainer = make(tmp_path, Staged, epochs=9, minutes=1e-9)
        assert trainer.restore_last() == resume
        run_epochs(trainer, same_score, Summaries(None), 9, reporter, lambda: False)
    assert len(stages) == len(set(stages)) == len(trainer._stages) > 1
    said = (
        "No epoch follows epoch 2: `minutes` 1e-09 ended the training, and with more it goes on; "
        "`minutes` ended earlier stages before their epochs were done (alone)."
    )
    assert told == [said, said]
