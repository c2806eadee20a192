import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.data.pairs import Pairs
from tfxmodal.evaluation.protocol import evaluate
from tfxmodal.heads.layers import EPSILON
from tfxmodal.heads.relation_network import FUSIONS, RelationNetwork
from tfxmodal.retrieval import relation as relation_module
from tfxmodal.retrieval import scorer as scorer_module
from tfxmodal.retrieval.pair_scores import pair_scores
from tfxmodal.retrieval.relation import RelationScorer

DIM = 6


def encoder(width: int) -> keras.Model:
    return keras.Sequential([keras.Input([width]), keras.layers.Dense(DIM)])


def network(fusion="concatenation", hidden_layers=1, units=20, batch_norm=False, start_dim=0):
    """A relation network of which no weight has its initial value."""
    relation = RelationNetwork(DIM, fusion, hidden_layers, units, batch_norm, start_dim)
    rng = np.random.default_rng(0)
    for weight in relation.weights:
        positive = "variance" in weight.name or "gamma" in weight.name
        values = rng.uniform(0.5, 2, weight.shape) if positive else rng.normal(size=weight.shape)
        weight.assign(values)
    return relation


def plain_scores(relation, images, texts):
    """The paper's form, in float64: every pair's fused vector through every layer."""
    i, t = np.repeat(images, len(texts), 0), np.tile(texts, [len(images), 1])
    rows = {
        "concatenation": lambda: np.concatenate([i, t], 1),
        "multiplication": lambda: i * t,
        "addition": lambda: i + t,
        "subtraction": lambda: i - t,
    }[relation.fusion]().astype(np.float64)
    for dense, norm in zip(relation.dense, relation.norms, strict=True):
        rows = rows @ dense.kernel.numpy().astype(np.float64) + dense.bias.numpy()
        if relation.batch_norm:
            gamma, beta, mean, variance = (w.numpy().astype(np.float64) for w in norm.weights)
            rows = (rows - mean) / np.sqrt(variance + EPSILON) * gamma + beta
        rows = np.maximum(rows, 0)
    scores = rows @ relation.read_out.kernel.numpy() + relation.read_out.bias.numpy()
    scores = scores.reshape(len(images), len(texts))
    if relation.start_dim:
        scores += images[:, -relation.start_dim :] @ texts[:, -relation.start_dim :].T
    return scores


def embeddings(n, m):
    rng = np.random.default_rng(1)
    return [rng.standard_normal((rows, DIM), dtype=np.float32) for rows in (n, m)]


def scorer(relation, **options):
    return RelationScorer(encoder(4), encoder(5), relation, **options)


def assert_exact(scores, expected, of=None):
    """Exact but for float32's rounding of the largest score of `of`, by default of `expected`."""
    assert scores.dtype == np.float32
    largest = np.abs(expected if of is None else of).max(initial=1)
    np.testing.assert_allclose(scores, expected, atol=2e-6 * largest)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("hidden_layers", [1, 2])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_scores_are_those_of_the_fused_vectors(fusion, hidden_layers, batch_norm):
    start_dim = 2 * ((hidden_layers + batch_norm) % 2)  # Half of the forms have a start.
    relation = network(fusion, hidden_layers, batch_norm=batch_norm, start_dim=start_dim)
    ours = scorer(relation, batch_size=7)
    for n, m in ((37, 530), (530, 37), (1, 9), (9, 1)):
        images, texts = embeddings(n, m)
        expected = plain_scores(relation, images, texts)
        scores = ours.score(images, texts)
        assert_exact(scores, expected)
        few = min(n, m)
        pairs = ours.score_pairs(images[:few], texts[:few])
        assert_exact(pairs, np.diag(expected), of=expected)
        rows, columns = np.arange(n)[::-1], np.arange(n) % m
        listed = ours.score_listed(images, texts, rows, columns)
        assert_exact(listed, expected[rows, columns], of=expected)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_a_network_trained_in_mixed_bfloat16_scores_in_float32(fusion, hidden_layers):
    images, texts = embeddings(9, 9)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        relation = network(fusion, hidden_layers)
    finally:
        keras.config.set_dtype_policy("float32")
    ours, expected = scorer(relation), plain_scores(relation, images, texts)
    assert_exact(ours.score(images, texts), expected)
    assert_exact(ours.score_pairs(images, texts), np.diag(expected))


@pytest.mark.parametrize("units", [1, 16, 20])
@pytest.mark.parametrize("compiled", [False, True])
def test_both_paths_at_any_number_of_rows_and_units(compiled, units, monkeypatch):
    monkeypatch.setattr(relation_module, "COMPILED_FROM", 0)
    relation = network(units=units)
    ours = scorer(relation, compiled=compiled)
    for n, m in ((0, 3), (3, 0), (0, 0), (1, 1), (257, 513), (256, 512), (600, 5)):
        images, texts = embeddings(n, m)
        scores = ours.score(images, texts)
        assert scores.shape == (n, m)
        assert_exact(scores, plain_scores(relation, images, texts))


@pytest.mark.parametrize("compiled", [False, True])
def test_as_exact_as_concatenation(compiled):
    """At the paper's size, the error is that of float32 on the fused vectors, or less."""
    relation = RelationNetwork()
    rng = np.random.default_rng(0)
    images, texts = (rng.standard_normal((40, 300), dtype=np.float32) for _ in range(2))
    expected = plain_scores(relation, images, texts)
    fused = relation(np.repeat(images, 40, 0), np.tile(texts, [40, 1])).numpy().reshape(40, 40)
    weights = relation.weights_for_inference()
    first = weights.of_images(images), weights.of_texts(texts)
    ours = pair_scores(*first, weights, compiled).numpy()
    ours, fused = (np.abs(scores - expected) for scores in (ours, fused))
    assert ours.max() < 2 * fused.max()
    assert ours.mean() < 2 * fused.mean()


@pytest.mark.parametrize("compiled", [False, True])
def test_uses_the_weights_of_the_moment(compiled):
    relation = network()
    ours = scorer(relation, compiled=compiled)
    images, texts = embeddings(20, 30)
    ours.score(images, texts)
    for weight in relation.weights:
        weight.assign(weight * 1.5 + 0.1)
    assert_exact(ours.score(images, texts), plain_scores(relation, images, texts))


def test_traces_once_whatever_the_rows_and_the_weights(monkeypatch):
    traces = []

    def counted(*args, **options):
        traces.append(options)
        return pair_scores(*args, **options)

    monkeypatch.setattr(relation_module, "pair_scores", counted)
    relation = network()
    ours = scorer(relation)
    for rows in (1, 3, 17, 40):
        ours.score(*embeddings(rows, rows + 1))
        relation.read_out.kernel.assign(relation.read_out.kernel * 2)
    assert len(traces) == 2  # plain and compiled


@pytest.mark.parametrize("hidden_layers", [1, 2])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_listed_pairs_are_those_of_the_matrix(fusion, hidden_layers):
    relation, (images, texts) = network(fusion, hidden_layers), embeddings(7, 9)
    expected = plain_scores(relation, images, texts)
    for pairs in (0, 1, 5000):  # none, and more than a tile
        rows = np.random.default_rng(0).integers(0, (7, 9), (pairs, 2)).T
        listed = scorer(relation).score_listed(images, texts, *rows)
        assert listed.shape == (pairs,)
        assert_exact(listed, expected[*rows])


def test_blocks_and_chunks_change_nothing(monkeypatch):
    ours = scorer(network("subtraction", 2))
    images, texts = embeddings(23, 31)
    scores = ours.score(images, texts)
    pairs = Pairs(np.arange(len(images)), images, images + 0.1)
    results = evaluate(ours, pairs)
    monkeypatch.setattr(relation_module, "BLOCK", 10)
    monkeypatch.setattr(scorer_module, "BLOCK", 100)
    np.testing.assert_allclose(ours.score(images, texts), scores, atol=1e-5)
    assert evaluate(ours, pairs) == results
    found, values = ours.top_k(images, texts, 5)
    np.testing.assert_array_equal(found, np.argsort(-scores, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(values, -np.sort(-scores, axis=1)[:, :5], atol=1e-5)
    found, _ = ours.top_k_images(texts, images, 5)
    np.testing.assert_array_equal(found, np.argsort(-scores.T, axis=1, kind="stable")[:, :5])


@pytest.mark.parametrize("fusion, hidden_layers", [("addition", 1), ("multiplication", 2)])
def test_exports_without_xla(fusion, hidden_layers, tmp_path):
    """As a signature of a SavedModel, for any number of rows."""
    module, rows = tf.Module(), tf.TensorSpec([None, DIM])
    module.relation = network(fusion, hidden_layers)
    ours = scorer(module.relation)

    @tf.function(input_signature=[rows, rows])
    def serve(images, texts):
        return {"scores": ours.graph_score(images, texts)}

    tf.saved_model.save(module, tmp_path, {"serve": serve})
    loaded = tf.saved_model.load(tmp_path).signatures["serve"]
    for n, m in ((3, 70), (70, 3)):
        images, texts = embeddings(n, m)
        served = loaded(images=tf.constant(images), texts=tf.constant(texts))["scores"].numpy()
        assert_exact(served, plain_scores(module.relation, images, texts))


def test_embeds_by_its_encoders():
    ours = scorer(network())
    assert ours.embed_images(np.ones((3, 4), np.float32)).shape == (3, DIM)
    assert ours.embed_texts(np.ones((0, 5), np.float32)).shape == (0, DIM)
