"""SCL that begins as a linear map, and is never below it on validation."""

import numpy as np
import pytest

from tests.training.tiny import make_pairs, make_trainer, method_of, weights
from tfxmodal.errors import InputError
from tfxmodal.evaluation.protocol import evaluate_pairs, selection_score
from tfxmodal.methods import METHODS
from tfxmodal.methods.gradient.scl import SCL, SCLConfig

PAIRS = make_pairs()
SMALL = {"hidden_units": 8, "alpha": 0.0, "output_activation": "linear"}


def scores(scorer, pairs=PAIRS):
    return scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))


@pytest.mark.parametrize("start", ["pls", "ridge_cca"])
@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_the_first_scores_are_those_of_the_linear_method(start, scaling):
    config = SCLConfig(start=start, image_scaling=scaling, embedding_dim=300, **SMALL)
    spec = METHODS[start]
    linear = spec.fit(PAIRS, PAIRS, spec.config())
    np.testing.assert_allclose(
        scores(method_of(SCL, PAIRS, config).scorer()), scores(linear.scorer()), atol=2e-6
    )


def test_linear_begins_as_the_better_of_both_maps():
    validation = make_pairs(24, seed=3)
    specs = [METHODS[name] for name in ("pls", "ridge_cca")]
    both = [spec.fit(PAIRS, validation, spec.config()) for spec in specs]
    reached = [max(fitted.tried.values()) for fitted in both]
    assert reached[0] != reached[1]
    method = method_of(SCL, PAIRS, SCLConfig(start="linear", **SMALL))
    method.adapt(PAIRS, validation)
    best = both[int(np.argmax(reached))]
    np.testing.assert_allclose(scores(method.scorer()), scores(best.scorer()), atol=2e-6)


def test_a_narrow_common_space_begins_as_the_map_of_that_width():
    config = SCLConfig(start="ridge_cca", embedding_dim=2, **SMALL)
    spec = METHODS["ridge_cca"]
    linear = spec.fit(PAIRS, PAIRS, spec.config(components=2))
    np.testing.assert_allclose(
        scores(method_of(SCL, PAIRS, config).scorer()), scores(linear.scorer()), atol=2e-6
    )


def test_modalities_of_other_scales_move_alike():
    """The length of features must not decide how far a step goes."""
    large = PAIRS.with_features(1000 * PAIRS.images, PAIRS.texts)
    moved = []
    for train in (PAIRS, large):
        method = method_of(SCL, train, SCLConfig(start="pls", embedding_dim=8, **SMALL))
        layer = method.networks["image_encoder"].get_layer("start_map")
        layer.kernel.assign_add(np.full(layer.kernel.shape, 0.01))
        moved.append(scores(method.scorer(), train))
    np.testing.assert_allclose(*moved, atol=1e-5)


def validator(method, pairs=PAIRS):
    def validate():
        metrics = evaluate_pairs(method.scorer(), pairs)
        return selection_score(metrics), metrics

    return validate


def test_a_training_that_only_harms_keeps_the_linear_map(tmp_path):
    scl = {"start": "pls", "output_activation": "linear"}
    method, trainer = make_trainer(tmp_path, scl=scl, learning_rate=30.0)
    before = scores(method.scorer())
    reports = list(trainer.epochs(validator(method)))
    assert [report.epoch for report in reports] == [0, 1, 2]
    assert max(report.score for report in reports[1:]) < reports[0].score  # It did harm.
    trainer.checkpoints.restore_best()
    np.testing.assert_array_equal(scores(method.scorer()), before)
    assert trainer.state.best_epoch == 0


def test_a_better_epoch_takes_its_place_also_after_a_resume(tmp_path):
    scl = {"start": "pls", "output_activation": "linear"}
    validations = iter([0.5, 0.4, 0.6, 0.3])

    def validate():
        return next(validations), {}

    _, trainer = make_trainer(tmp_path, scl=scl, epochs=1)
    assert [report.epoch for report in trainer.epochs(validate)] == [0, 1]
    _, trainer = make_trainer(tmp_path, scl=scl, epochs=3)
    assert trainer.restore_last()
    assert [report.epoch for report in trainer.epochs(validate)] == [2, 3]  # The start only once.
    assert (trainer.state.best_epoch, trainer.state.best_score) == (2, 0.6)


def test_the_last_epoch_is_taken_where_nothing_is_selected(tmp_path):
    scl = {"start": "pls", "output_activation": "linear"}
    method, trainer = make_trainer(tmp_path, scl=scl, learning_rate=30.0, select_by="last")
    reports = list(trainer.epochs(lambda: (None, {})))
    assert [report.epoch for report in reports] == [1, 2]
    assert trainer.state.best_epoch == 2


def test_scl_can_begin_as_a_shared_space(tmp_path):
    pairs = make_pairs()
    pairs = pairs.with_features(pairs.images[:, :5])  # As wide as the texts.
    scl = {"start": "zero_shot", "output_activation": "linear"}
    method, _ = make_trainer(tmp_path, train=pairs, scl=scl | {"embedding_dim": 7})
    spec = METHODS["zero_shot"]
    expected = spec.fit(pairs, pairs, spec.config()).scorer()
    np.testing.assert_allclose(scores(method.scorer(), pairs), scores(expected, pairs), atol=1e-5)
    with pytest.raises(InputError, match="`embedding_dim` of the features' width, 5, or more"):
        make_trainer(tmp_path, train=pairs, scl=scl | {"embedding_dim": 4})


def test_relu_cannot_begin_as_a_linear_map():
    with pytest.raises(InputError, match="`start` pls needs `output_activation` linear"):
        SCLConfig(start="pls")


def test_weight_decay_takes_its_share_of_each_weight(tmp_path):
    """Decoupled: a step of rate r and decay d subtracts r d w as well."""
    after = {}
    for decay in (0.0, 0.5):
        method, trainer = make_trainer(
            tmp_path / str(decay), weight_decay=decay, epochs=1, batch_size=64
        )
        before = weights(method)
        list(trainer.epochs(lambda: (0.0, {})))
        after[decay] = weights(method)
    for start, plain, decayed in zip(before, after[0.0], after[0.5], strict=True):
        np.testing.assert_allclose(plain - decayed, 0.01 * 0.5 * start, atol=1e-7)
