from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from tests.methods.closed_form.test_graphs import (
    distances,
    laplacian,
    neighbour_edges,
    z_scored,
)
from tests.methods.closed_form.test_semantic_matching import labelled
from tests.training.test_experiment import dataset, settings
from tfxmodal.data.databases import with_database
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.io.reporter import Reporter
from tfxmodal.methods.closed_form import jrl
from tfxmodal.methods.closed_form.jrl import JRLConfig, Problem
from tfxmodal.training.experiment import run_experiment
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.trained_run import load_run

CONFIG = JRLConfig(
    sparsity=3.0, smoothness=0.5, correlation=0.7, prediction=2.0, neighbours=4, iterations=4
)


def with_unlabelled(several: bool, n=40) -> Pairs:
    """Pairs of which every third has no label."""
    train = labelled(n, 0, several=several)
    train.labels[::3] = 0
    return train


def oracle_objective(train: Pairs, p, q, config) -> float:
    """The objective as it is written, with dense graphs."""
    x, t, y = z_scored(train.images), z_scored(train.texts), np.float64(train.labels)
    known = y.any(axis=1)
    value = config.correlation * np.sum((x @ p - t @ q) ** 2)
    for rows, w in ((x, p), (t, q)):
        value += config.prediction * np.sum((rows[known] @ w - y[known]) ** 2)
        value += config.sparsity * sum(np.linalg.norm(row) for row in w)
        graph = laplacian(neighbour_edges(rows, config.neighbours))
        value += config.smoothness * np.trace(w.T @ rows.T @ graph @ rows @ w)
    return value


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_the_objective_is_as_written_and_every_update_lowers_it(several):
    train = with_unlabelled(several)
    problem = Problem(train, CONFIG)
    random = np.random.default_rng(1)
    maps = {"image": random.random((9, 4)), "text": random.random((6, 4))}
    values = []
    for _ in range(12):
        values.append(problem.objective(maps))
        expected = oracle_objective(train, maps["image"], maps["text"], CONFIG)
        assert values[-1] == pytest.approx(expected, rel=1e-5)
        maps = problem.updated(maps)
    assert (np.diff(values) <= 1e-9 * values[0]).all() and values[-1] < 0.5 * values[0]
    assert values[-2] - values[-1] < 0.01 * values[-1]  # It has come to rest.


def test_the_released_update_takes_both_projections_from_before_and_graphs_with_the_test_rows():
    train, config = with_unlabelled(False), replace(CONFIG, as_released=True)
    test = labelled(15, 3)
    x, t, y = z_scored(train.images), z_scored(train.texts), np.float64(train.labels)
    new_x, new_t = (
        (np.float64(new) - old.mean(axis=0, dtype=float)) / old.std(axis=0, dtype=float)
        for new, old in ((test.images, train.images), (test.texts, train.texts))
    )
    known = y.any(axis=1)
    random = np.random.default_rng(1)
    p, q = random.random((9, 4)), random.random((6, 4))
    expected = {}
    for kind, rows, new, w, others, v in (
        ("image", x, new_x, p, t, q),
        ("text", t, new_t, q, x, p),
    ):
        every = np.concatenate([rows, new])
        degrees = neighbour_edges(every, config.neighbours).sum(1)
        graph = laplacian(expit(-distances(every)), degrees)
        system = (
            config.sparsity * np.diag(1 / (2 * np.linalg.norm(w, axis=1)))
            + config.smoothness * every.T @ graph @ every
            + config.correlation * rows.T @ rows
            + config.prediction * rows[known].T @ rows[known]
        )
        right = config.correlation * rows.T @ others @ v + config.prediction * rows.T @ y
        expected[kind] = np.linalg.inv(system) @ right
    found = Problem(train, config, test=(test.images, test.texts)).updated({"image": p, "text": q})
    for kind, directions in found.items():
        np.testing.assert_allclose(directions, expected[kind], atol=1e-5)


@pytest.mark.parametrize("tolerance", [-np.inf, np.inf], ids=["by number", "by tolerance"])
def test_the_released_code_projects_before_its_last_update(tolerance, monkeypatch):
    monkeypatch.setattr(jrl, "TOLERANCE", tolerance)
    train = with_unlabelled(False)
    for as_released in (False, True):
        problem = Problem(train, replace(CONFIG, as_released=as_released, iterations=3))
        step, made = problem.updated, []

        def updated(maps, step=step, made=made):
            made.append((maps, step(maps)))
            return made[-1][1]

        problem.updated = updated
        found = problem.solve(0)
        assert len(made) == (1 if tolerance > 0 else 3)
        assert found is made[-1][0 if as_released else 1]


def test_the_prediction_alone_is_two_least_squares():
    train = with_unlabelled(True)
    config = JRLConfig(sparsity=1e-9, smoothness=0, correlation=0, iterations=3)
    found = Problem(train, config).solve(0)
    known = train.labels.any(axis=1)
    for kind, rows in (("image", train.images), ("text", train.texts)):
        least, *_ = np.linalg.lstsq(z_scored(rows)[known], np.float64(train.labels[known]))
        np.testing.assert_allclose(found[kind], least, atol=1e-4)


def test_a_large_correlation_ties_both_projections():
    train = with_unlabelled(False)
    apart = []
    for correlation in (0.0, 1.0, 1000.0):
        problem = Problem(train, replace(CONFIG, correlation=correlation))
        maps = problem.solve(0)
        for _ in range(300):
            maps = problem.updated(maps)
        ours, theirs = (problem.rows[kind].projected(w) for kind, w in maps.items())
        apart.append(np.linalg.norm(ours - theirs))
    assert apart[1] < 0.9 * apart[0] and apart[2] < 0.2 * apart[1]


def fit(train, validation=None, **config):
    given = {"neighbours": 4} | config
    return jrl.fit(train, validation or train, JRLConfig(**given))


def test_pairs_are_scored_by_posteriors_or_cosines_and_validation_chooses():
    train, validation = with_unlabelled(False), labelled(30, 7)
    fitted = fit(train, validation)
    assert fitted.tried.keys() == {"posterior", "cosine"}
    best = max(fitted.tried, key=fitted.tried.get)
    assert fitted.chosen == {"similarity": best}
    maps = Problem(train, JRLConfig(neighbours=4)).solve(0)
    x, t = z_scored(train.images) @ maps["image"], z_scored(train.texts) @ maps["text"]
    known = train.labels.any(axis=1)
    places, classes = np.concatenate([x[known], t[known]]), np.tile(train.labels[known], [2, 1])

    def posterior(z):
        far = np.linalg.norm(z - places, axis=1)
        nearest = np.argsort(far)[:4]
        weights = expit(-far[nearest])
        return weights @ classes[nearest] / weights.sum()

    own = {
        "posterior": [np.array([posterior(z) for z in side]) for side in (x, t)],
        "cosine": [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, t)],
    }
    for similarity, (images, texts) in own.items():
        alone = fit(train, validation, similarity=similarity)
        assert alone.tried == {similarity: fitted.tried[similarity]}
        scorer = alone.scorer()
        found = scorer.score(scorer.embed_images(train.images), scorer.embed_texts(train.texts))
        np.testing.assert_allclose(found, images @ texts.T, atol=1e-3)
        (other,) = own.keys() - {similarity}
        beside = alone.other_scorers()
        assert beside.keys() == {other}
        found = beside[other].score(
            beside[other].embed_images(train.images), beside[other].embed_texts(train.texts)
        )
        np.testing.assert_allclose(found, own[other][0] @ own[other][1].T, atol=1e-3)


def test_the_released_code_scores_by_posteriors_and_has_test_rows():
    train, test = with_unlabelled(False), labelled(15, 3)
    features = test.images, test.texts
    given = JRLConfig(neighbours=4, as_released=True)
    for similarity, taken in ((None, "posterior"), ("cosine", "cosine")):
        config = replace(given, similarity=similarity)
        assert jrl.fit(train, train, config, test=features).tried.keys() == {taken}
    for nothing in (None, (test.images[:0], test.texts[:0])):
        with pytest.raises(InputError, match="`as_released` .* received no test pairs: give some"):
            jrl.fit(train, train, given, test=nothing)
    # Without it, they are not looked at.
    config = replace(given, as_released=False)
    assert jrl.fit(train, train, config, test=features).tried == fit(train).tried


def run_of(folder, data, **values):
    given = settings("jrl", neighbours=4, **values)
    return run_experiment(given, folder, dataset=data, figures=False)


def test_a_run_measures_both_similarities_on_the_test_pairs(tmp_path):
    data = dataset()
    run = run_of(tmp_path / "run", data)
    measured = evaluate_run(load_run(run.folder), data, figures=False)
    (other,) = {"posterior", "cosine"} - {run.metrics["chosen"]["similarity"]}
    assert measured.metrics.keys() == {"jrl", f"jrl, {other}"}
    alone = run_of(tmp_path / "alone", data, similarity=other)
    for name, expected in (("jrl", run), (f"jrl, {other}", alone)):
        assert measured.metrics[name]["map_all"] == expected.metrics["test"]["map_all"]
    assert "transductive" not in run.metrics
    assert "ransductive" not in (run.folder / "MODEL_CARD.md").read_text("utf-8")


def test_a_run_as_released_sees_the_test_features_and_says_so(tmp_path):
    data = dataset()
    test, said, reporter = data.test, [], Reporter()
    reporter.say = said.append

    def learned(name: str, test: Pairs, resume=False, **values) -> list[np.ndarray]:
        given = settings("jrl", neighbours=4, as_released=True, **values)
        folder, pairs = tmp_path / name, data.replace_splits(test=test)
        run = run_experiment(given, folder, resume, pairs, reporter, figures=False)
        assert run.metrics["transductive"] is True
        assert "- Transductive: it was" in (folder / "MODEL_CARD.md").read_text("utf-8")
        assert sum("jrl is transductive as it is set" in each for each in said) == 1
        said.clear()
        return load_run(folder).method.networks["image_cosine"].get_weights()

    def same(*weights) -> bool:
        return all(map(np.array_equal, *weights))

    first, moved = learned("run", test), test.with_features(test.images + 1)
    relabelled = data.replace_splits(test=replace(test, labels=test.labels[::-1]))
    assert same(first, learned("among", with_database(relabelled, "train").test))
    assert not same(first, learned("run", moved, resume=True))
    refits = [learned(f"refit {n}", each, refit=True) for n, each in enumerate((test, moved))]
    assert not same(*refits) and not same(first, refits[0])


def test_pairs_without_a_label_are_learned_from():
    train = with_unlabelled(False)
    alone = train.take(np.flatnonzero(train.labels.any(axis=1)))
    both = [fit(pairs, train, similarity="cosine").scorer() for pairs in (train, alone)]
    embedded = [scorer.embed_images(train.images) for scorer in both]
    assert np.abs(embedded[0] - embedded[1]).max() > 0.01


def odd_pairs() -> dict[str, Pairs]:
    """Pairs that break a method that trusts its matrices."""
    pairs = labelled(12, 0)
    alike = {name: np.full_like(getattr(pairs, name), 2) for name in ("images", "texts")}
    first = np.zeros(12, int)
    one_class, one_row = np.zeros_like(pairs.labels), np.zeros_like(pairs.labels)
    one_class[:, 1] = 1
    one_row[3, 2] = 1
    lonely = pairs.labels.copy()
    lonely[:, 3] = 0
    lonely[0] = [0, 0, 0, 1]
    constant = pairs.images.copy()
    constant[:, 0] = 7
    return {
        "fewer rows than columns": pairs.take(np.arange(5)),
        "one row": pairs.take(np.arange(1)),
        "a constant column": replace(pairs, images=constant),
        "repeated rows": pairs.take(np.concatenate([first, np.arange(12)])),
        "all rows alike": replace(pairs, **alike),
        "one class": replace(pairs, labels=one_class),
        "a class of one row": replace(pairs, labels=lonely),
        "one row with a label": replace(pairs, labels=one_row),
    }


@pytest.mark.parametrize("what", odd_pairs())
@pytest.mark.parametrize("as_released", [False, True])
def test_odd_pairs_give_finite_embeddings(what, as_released):
    problem = Problem(odd_pairs()[what], JRLConfig(as_released=as_released))
    networks, rows = problem.encoders(problem.solve(0), "posterior"), labelled(8, 1)
    assert np.isfinite(networks["image_encoder"](rows.images)).all()
    assert np.isfinite(networks["text_encoder"](rows.texts)).all()


def test_the_released_update_is_made_twice_at_least():
    with pytest.raises(InputError, match="`iterations` must be at least 2; received 1"):
        JRLConfig(iterations=1, as_released=True)
