import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.test_protocol import Bilinear
from tests.inputs.test_duplicates import Said
from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation import results as results_module
from tfxmodal.evaluation.curves import mean_over_queries, precision_recall
from tfxmodal.evaluation.metrics import relevance
from tfxmodal.evaluation.protocol import evaluate, evaluate_pairs
from tfxmodal.evaluation.results import captions_or_ids, draw, evaluate_split, retrieved_figure


class Lengths:
    """A text encoder of which a test knows everything."""

    dim = 4

    def encode(self, texts):
        return np.array([[len(text), text.count("a"), 1, 0] for text in texts], np.float32)


@pytest.fixture
def source(tmp_path):
    """Twelve photos with captions; the last has none, the one before it three."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{row}.png" for row in range(12)]
    for path in paths:
        Image.new("RGB", (8, 6), tuple(rng.integers(0, 255, 3))).save(path)
    texts = [("a" * row + "b",) for row in range(10)] + [("aa", "bb", "a cat"), ()]
    labels = np.eye(3, dtype=np.uint8)[np.arange(12) % 3]
    return Pairs(np.array([f"id{row}" for row in range(12)]), np.array(paths, str), texts, labels)


def features_of(source):
    rng = np.random.default_rng(1)
    texts = Lengths().encode(["\n".join(each) for each in source.texts])
    return source.with_features(rng.standard_normal((12, 4)).astype(np.float32), texts)


def single(source):
    """Each caption by itself, as `Prepared.single_captions` gives them."""
    return Lengths().encode([caption for each in source.texts for caption in each])


def curve_of(scores, relevant):
    """Precision at levels of recall, of all queries."""
    levels, values = precision_recall(scores, relevant)
    return levels, mean_over_queries(values)


def retrieved(found, monkeypatch, **options) -> dict:
    """What the figure of retrieved items shows, of `images` and `texts` as queries."""
    shown = {}
    draws = lambda images, texts: shown.update(images=images, texts=texts)  # noqa: E731
    monkeypatch.setattr(results_module.figures, "gallery_figure", draws)
    retrieved_figure(found, **options)
    return shown


def test_a_pair_without_captions_is_counted_and_drawn(source):
    found = evaluate_split(Bilinear(), features_of(source), source, single(source))
    assert found.metrics["gallery"]["image_to_text"] == 13
    assert found.metrics["queries"] == {"image_to_text": 12, "text_to_image": 13}
    assert captions_or_ids(source)[-2:] == ["aa", "id11"]
    assert set(draw({"SCL": found}, "xyz")) == {
        *("precision_recall", "precision_scope", "tsne", "retrieved")
    }
    unlabelled = replace(source, labels=None)
    found = evaluate_split(Bilinear(), features_of(unlabelled), unlabelled, single(unlabelled))
    assert found.metrics["queries_without_relevant"] == {"image_to_text": 1, "text_to_image": 0}
    assert set(draw({"SCL": found}, None)) == {"retrieved"}


def test_queries_are_drawn_among_their_database(source, monkeypatch):
    """Only queries ask in the figure of what is retrieved, and only the database is found."""
    asks = np.arange(12) % 4 == 0
    source = replace(source, queries=asks)
    found = evaluate_split(Bilinear(), features_of(source), source)
    assert found.metrics["gallery"] == {"image_to_text": 9, "text_to_image": 9}
    drawn = retrieved(found, monkeypatch, k=9)
    names = np.array(captions_or_ids(source))
    paths = np.array(source.images)
    for kind, own, others in (("images", paths, names), ("texts", names, paths)):
        assert {row.query for row in drawn[kind]} == set(own[asks])
        for row in drawn[kind]:
            assert set(row.found) == set(others[~asks])
            of_query = source.labels[np.flatnonzero(own == row.query)[0]]
            rows = [np.flatnonzero(others == item)[0] for item in row.found]
            assert list(row.right) == [bool(source.labels[r] @ of_query) for r in rows]


def test_curves_are_of_queries_and_database(source):
    asks = np.arange(12) % 4 == 0
    source = replace(source, queries=asks)
    found = evaluate_split(Bilinear(), features_of(source), source)
    panels = found.curves["precision_recall"]
    scores = Bilinear().score(found.images, found.texts)
    relevant = relevance(source.labels[asks], source.labels[~asks])
    for direction, matrix in (("image_to_text", scores), ("text_to_image", scores.T)):
        expected = curve_of(matrix[asks][:, ~asks], relevant)
        np.testing.assert_allclose(panels[direction], expected)


def test_curves_take_a_repeated_image_once(source):
    owners = np.arange(12) // 3 * 3
    source = replace(source, labels=source.labels[owners], image_ids=owners)
    found = evaluate_split(Bilinear(), features_of(source), source)
    panels = found.curves["precision_recall"]
    scores = Bilinear().score(found.images[::3], found.texts)
    relevant = relevance(source.labels[::3], source.labels)
    for direction, matrix, right in (
        ("image_to_text", scores, relevant),
        ("text_to_image", scores.T, relevant.T),
    ):
        np.testing.assert_allclose(panels[direction], curve_of(matrix, right))


class Doubled(Bilinear):
    """Embeds each row by itself, exactly, and notes the rows of images it was given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def embed_images(self, features):
        self.seen += features[:].tolist()
        return 2 * features[:]

    def embed_texts(self, features):
        return features


def test_a_repeated_image_is_embedded_once(source):
    owners = np.array([2, 0, 2, 1, 1, 1, 0, 2, 3, 3, 0, 1])  # Not in the order of the rows.
    source = replace(source, labels=np.eye(4, dtype=np.uint8)[owners], image_ids=owners)
    features = features_of(source)
    distinct = features.images[:4]
    features = replace(features, images=distinct[owners])
    expected = evaluate(Bilinear(), features.with_features(2 * distinct[owners]))
    once, split = Doubled(), Doubled()
    assert evaluate_pairs(once, features) == expected
    found = evaluate_split(split, features, source)
    assert found.metrics == expected
    assert once.seen == split.seen == distinct[[2, 0, 1, 3]].tolist()
    np.testing.assert_array_equal(found.images, 2 * distinct[owners])


@pytest.mark.parametrize("labelled", [True, False])
def test_the_figure_takes_a_repeated_image_once(source, monkeypatch, labelled):
    owners = np.arange(12) // 3 * 3
    labels = source.labels[np.arange(12) // 3 % 3] if labelled else None
    source = replace(source, images=source.images[owners], labels=labels, image_ids=owners)
    found = evaluate_split(Bilinear(), features_of(source), source)
    drawn = retrieved(found, monkeypatch, queries=12, k=12)
    names, paths = captions_or_ids(source), list(source.images)
    assert len(drawn["images"]) == 4 == len({row.query for row in drawn["images"]})
    for row in drawn["images"]:
        assert sorted(row.found) == sorted(names)
        rows = [names.index(name) for name in row.found]
        of_query = paths.index(row.query)
        expected = owners[rows] == of_query
        if labelled:
            expected = (labels[rows] @ labels[of_query]) > 0
        assert list(row.right) == list(expected) and 3 <= sum(row.right) < 12
    for row in drawn["texts"]:
        assert sorted(row.found) == sorted(set(paths))
        rows = [paths.index(path) for path in row.found]
        of_query = names.index(row.query)
        expected = np.equal(rows, owners[of_query])
        if labelled:
            expected = (labels[rows] @ labels[of_query]) > 0
        assert list(row.right) == list(expected) and 1 <= sum(row.right) < 4


def test_curves_are_of_the_whole_gallery_in_any_order(source, monkeypatch):
    """However few queries are drawn, they search all items; so do blocks of them."""
    order = np.argsort(source.labels.argmax(axis=1), kind="stable")  # Class by class.
    features = features_of(source).take(order)
    asks = np.arange(12) % 3 == 0
    source = replace(source.take(order), queries=asks)
    features = replace(features, queries=asks)
    monkeypatch.setattr(results_module, "CURVE_QUERIES", 4)
    monkeypatch.setattr("tfxmodal.evaluation.protocol.BLOCK", 16)  # Two queries at a time.
    found = evaluate_split(Bilinear(), features, source)
    scores = Bilinear().score(found.images, found.texts)
    relevant = relevance(source.labels[asks], source.labels[~asks])
    for direction, matrix in (("image_to_text", scores), ("text_to_image", scores.T)):
        curve = found.curves["precision_recall"][direction]
        np.testing.assert_allclose(curve, curve_of(matrix[asks][:, ~asks], relevant))


def test_curves_draw_some_of_many_queries(source, monkeypatch):
    monkeypatch.setattr(results_module, "CURVE_QUERIES", 3)
    scorer = Bilinear()
    found = evaluate_split(scorer, features_of(source), source)
    scorer.pairs = 0
    assert set(found.curves) == {"precision_recall", "precision_scope"}
    assert scorer.pairs == 2 * 3 * 12


def test_a_script_without_a_font_is_told_once(source, monkeypatch):
    said = Said()
    monkeypatch.setattr(results_module, "lacking", lambda figures: f"of {len(list(figures))}")
    found = evaluate_split(Bilinear(), features_of(source), source, single(source))
    draw({"SCL": found}, "xyz", reporter=said)
    assert said.lines == ["of 4"]


def test_importing_draws_in_nothing_that_draws():
    """Flags of a command import this module; matplotlib, scikit-learn and PIL take seconds."""
    code = (
        "import sys, tfxmodal.evaluation.results\n"
        "print(sorted({'matplotlib', 'sklearn', 'PIL', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
