import json
import os

import numpy as np
import pytest

from tfxmodal.errors import InputError
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.search import index as index_module
from tfxmodal.search.index import Changes, Index
from tfxmodal.search.new_index import build_index
from tfxmodal.search.stores import cells, faiss_vectors

DIM, CLASSES = 6, 4


class Relation(Scorer):
    """w relu(W [z_i; z_t] + b), the plain formula, in tiles that fit into memory."""

    def __init__(self, seed=0, units=32):
        rng = np.random.default_rng(seed)
        self.kernel = rng.standard_normal((2 * DIM, units))
        self.bias, self.read_out = rng.standard_normal((2, units))

    def embed_images(self, features):
        return np.asarray(features, np.float32)

    embed_texts = embed_images

    def score(self, images, texts):
        first = images @ self.kernel[:DIM], texts @ self.kernel[DIM:] + self.bias
        rows = [np.maximum(image + first[1], 0) @ self.read_out for image in first[0]]
        return np.array(rows, np.float32).reshape(len(images), len(texts))

    def score_pairs(self, images, texts):
        first = images @ self.kernel[:DIM] + texts @ self.kernel[DIM:] + self.bias
        return (np.maximum(first, 0) @ self.read_out).astype(np.float32)


class Cosine(CosineScorer):
    """Embeddings as they are."""

    def __init__(self):
        pass


def points(n, seed):
    """Embeddings `[n, DIM]` around a few centres, not negative, as after a ReLU."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).random((CLASSES, DIM)) * 3
    noise = 0.3 * rng.standard_normal((n, DIM))
    return np.maximum(centres[rng.integers(0, CLASSES, n)] + noise, 0).astype(np.float32)


def unit(n, seed):
    rows = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(n, start=0):
    return [f"item {row}" for row in range(start, start + n)]


def relation_index(gallery="texts", landmarks=48, **options):
    train = points(300, 1), points(300, 2)
    return build_index(Relation(), "A", gallery, *train, landmarks=landmarks, **options)


def cosine_index(**options):
    return build_index(Cosine(), "A", "texts", **options)


def exact(scorer, gallery, queries, items, k):
    top_k = scorer.top_k if gallery == "texts" else scorer.top_k_images
    rows, scores = top_k(queries, items, k)
    return np.array(names(len(items)))[rows], scores


def embeddings_of(index):
    """In the order of its ids."""
    return index.store.get(index.ids).scored


def assert_same(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def recall(found, true):
    return np.mean([np.isin(t, f).mean() for f, t in zip(found, true, strict=True)])


@pytest.mark.parametrize("gallery", ["texts", "images"])
def test_rescoring_everything_is_the_exact_ranking(gallery):
    index = relation_index(gallery, rescore=1.0)
    index.add(names(700), points(700, 3))
    assert index.is_exact
    queries = points(9, 4)
    assert_same(index.search(queries, 20), exact(Relation(), gallery, queries, points(700, 3), 20))


@pytest.mark.parametrize("gallery", ["texts", "images"])
@pytest.mark.parametrize("kind, least", [("flat", 0.99), ("scan", 0.97)])
def test_a_share_re_scored_finds_the_best(gallery, kind, least, monkeypatch):
    monkeypatch.setattr(index_module, "FEWEST", 10)
    index = relation_index(gallery, kind=kind, rescore=0.02)
    items, queries = points(3000, 3), points(20, 4)
    index.add(names(3000), items)
    assert not index.is_exact
    found, scores = index.search(queries, 10)
    true, true_scores = exact(Relation(), gallery, queries, items, 10)
    assert recall(found, true) >= least
    same = found == true
    np.testing.assert_allclose(scores[same], true_scores[same], rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_vectors_follow_the_scores():
    """With as many landmarks as units there is nothing that the fit cannot follow closely."""
    scorer, items, queries = Relation(), points(500, 3), points(20, 4)
    space = relation_index()._space
    approximate = space.of_queries(queries) @ space.of_items(items).T
    true = scorer.score(queries, items)
    true -= true.mean(axis=1, keepdims=True)
    error = approximate - approximate.mean(axis=1, keepdims=True) - true
    assert np.square(error).mean() < 0.01 * np.square(true).mean()


def test_of_equal_scores_the_earlier_item_goes_first():
    items = np.repeat(points(20, 3), 20, axis=0)
    for index in (relation_index(), cosine_index()):
        index.add(names(400), items)
        found, _ = index.search(items[:3], 20)
        numbers = np.vectorize(lambda name: int(name.split()[1]))(found)
        assert (np.diff(numbers, axis=1) == 1).all()


def test_a_cosine_is_searched_exactly():
    index, items, queries = cosine_index(), unit(3000, 0), unit(12, 1)
    index.add(names(3000), items)
    assert index.is_exact
    found, scores = index.search(queries, 15)
    true, true_scores = exact(Cosine(), "texts", queries, items, 15)
    np.testing.assert_array_equal(found, true)
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)


def test_adding_in_parts_is_adding_at_once():
    parts, whole, items = relation_index(), relation_index(), points(600, 3)
    whole.add(names(600), items)
    for start, stop in ((0, 0), (0, 300), (300, 301), (301, 301), (301, 600)):
        parts.add(names(stop - start, start), items[start:stop])
    assert parts.ids == whole.ids
    assert_same([embeddings_of(parts)], [embeddings_of(whole)])
    assert_same(parts.search(points(5, 4), 7), whole.search(points(5, 4), 7))


def test_embeddings_stay_what_they_were_when_the_index_grows():
    index, items = cosine_index(), unit(3000, 0)
    index.add(names(100), items[:100])
    (before,) = (part.scored for part in index.store.items())
    index.add(names(2900, 100), items[100:])
    del index
    np.testing.assert_array_equal(before, items[:100])


def test_it_grows_out_of_its_structure(monkeypatch):
    """From flat to codes, and to codes learned anew, while items are added."""
    monkeypatch.setattr(faiss_vectors, "LARGE", 500)
    monkeypatch.setattr(faiss_vectors, "CODED", 500)
    index, items = cosine_index(), unit(4000, 0)
    index.add(names(400), items[:400])
    assert index.is_exact
    for start in range(400, 4000, 400):
        index.add(names(400, start), items[start : start + 400])
    assert not index.is_exact
    found, _ = index.search(unit(8, 1), 10)
    assert recall(found, exact(Cosine(), "texts", unit(8, 1), items, 10)[0]) > 0.99


@pytest.mark.parametrize("kind", ["flat", "scan"])
@pytest.mark.parametrize("make, scorer", [(relation_index, Relation()), (cosine_index, Cosine())])
def test_saved_and_loaded_it_finds_the_same(kind, make, scorer, tmp_path):
    index, queries = make(kind=kind), points(6, 4)
    index.add(names(600), points(600, 3))
    index.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", scorer, "A")
    (held,) = loaded.store.items()
    assert make is cosine_index or isinstance(held.embeddings, np.memmap)
    assert (len(loaded), loaded.is_exact, loaded.gallery) == (600, index.is_exact, "texts")

    assert_same(loaded.search(queries, 9), index.search(queries, 9))
    for each in (index, loaded):
        each.add(["late"], points(1, 5))
    loaded.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", scorer, "A")
    assert len(loaded) == 601
    assert_same(loaded.search(queries, 9), index.search(queries, 9))
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("make, scorer", [(relation_index, Relation()), (cosine_index, Cosine())])
def test_a_gallery_of_none_and_of_one(make, scorer, tmp_path):
    index = make()
    found, scores = index.search(points(3, 4), 5)
    assert found.shape == scores.shape == (3, 0) and index.is_exact
    index.save(tmp_path / "index")
    index = Index.load(tmp_path / "index", scorer, "A")
    index.add([], points(0, 3))
    index.add(["only"], points(1, 3))
    found, scores = index.search(points(3, 4), 5)
    assert found.tolist() == [["only"]] * 3
    np.testing.assert_allclose(scores, scorer.score(points(3, 4), points(1, 3)), rtol=1e-6)
    assert index.search(points(0, 4), 5)[0].shape == (0, 0)


@pytest.mark.parametrize("counts", range(4))
def test_another_process_may_write_the_first_item_meanwhile(counts, monkeypatch):
    """Whichever of the looks at how many items there are finds none yet."""
    index = relation_index()
    index.add(["first"], points(1, 3))
    looks, count = iter([0] * counts), index.store.count
    monkeypatch.setattr(index.store, "count", lambda *where: next(looks, count(*where)))
    assert index.search(points(2, 4), 5)[0].tolist() == [["first"]] * 2


def test_no_queries():
    index = relation_index()
    index.add(names(300), points(300, 3))
    assert index.search(points(0, 4), 5)[0].shape == (0, 0)


@pytest.mark.parametrize("block", [1, 700])
def test_blocks_of_queries_change_nothing(block, monkeypatch):
    index, queries = relation_index(), points(5, 4)
    index.add(names(400), points(400, 3))
    expected = index.search(queries, 5)
    monkeypatch.setattr(index_module, "BLOCK", block)
    assert_same(index.search(queries, 5), expected)


def test_k_is_cut_to_the_gallery():
    index = relation_index()
    index.add(names(4), points(4, 3))
    assert index.search(points(2, 4), 10)[0].shape == (2, 4)


def test_one_training_item_is_enough():
    index = build_index(Relation(), "A", "texts", points(1, 1), points(1, 2))
    index.add(names(300), points(300, 3))
    found, scores = index.search(points(2, 4), 5)
    assert found.shape == (2, 5) and np.isfinite(scores).all()


class Product(Relation):
    """A dot product by another class than the cosine's."""

    is_dot_product = True

    def score(self, images, texts):
        return images @ texts.T

    score_pairs = Scorer.score_pairs


def test_a_scorer_says_that_its_score_is_a_dot_product():
    index = build_index(Product(), "A", "texts")  # without training items
    index.add(names(700), points(700, 3))
    assert index.is_exact
    queries = points(9, 4)
    found, scores = index.search(queries, 20)
    true, true_scores = exact(Product(), "texts", queries, points(700, 3), 20)
    np.testing.assert_array_equal(found, true)
    np.testing.assert_allclose(scores, true_scores, rtol=1e-6)
    assert not Relation().is_dot_product and Cosine().is_dot_product


@pytest.mark.parametrize("make, scorer", [(relation_index, Relation()), (cosine_index, Cosine())])
def test_an_index_of_an_earlier_version_opens_and_is_written_anew(make, scorer, tmp_path):
    """Which kept the ids in `index.json`, embeddings of any kind, and called landmarks anchors."""
    index, queries = make(), points(3, 4)
    index.add(names(400), points(400, 3))
    index.save(tmp_path / "new")
    old = tmp_path / "old"
    old.mkdir()
    np.save(old / "embeddings.npy", points(400, 3))
    (old / "vectors.faiss").write_bytes((tmp_path / "new/vectors-1.faiss").read_bytes())
    with np.load(tmp_path / "new/space.npz") as arrays:
        anchors = {("anchors" if name == "landmarks" else name): arrays[name] for name in arrays}
    np.savez(old / "space.npz", **anchors)
    info = {"fingerprint": "A", "gallery": "texts", "rescore": index.rescore, "ids": names(400)}
    info |= {"nearest": {"kind": "auto", "made_for": 400}}
    (old / "index.json").write_text(json.dumps(info))
    opened = Index.load(old, scorer, "A")
    assert opened.ids == names(400)
    assert_same(opened.search(queries, 5), index.search(queries, 5))
    for each in (opened, index):
        each.add(["late"], points(1, 5))
    opened = Index.load(old, scorer, "A")
    assert_same(opened.search(queries, 5), index.search(queries, 5))
    kept = {"index.json", "items-1.json", "space.npz", "vectors-1.faiss"}
    assert {path.name for path in old.iterdir()} - {"embeddings-1.npy"} == kept


def told(function, *arguments, **options) -> str:
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    return str(error.value)


def test_bad_items_change_nothing():
    index = relation_index()
    index.add(["a", "b"], points(2, 3))
    assert "The id 'd' is given 2 times" in told(index.add, ["d", "d"], points(2, 3))
    assert "received 1 ids for 2 embeddings" in told(index.add, ["c"], points(2, 3))
    bad = points(2, 3)
    bad[1, 2] = np.nan
    assert "`embeddings` must be finite; row 1 is not" in told(index.add, ["c", "d"], bad)
    wide = np.zeros((1, DIM + 1), np.float32)
    assert f"must be [n, {DIM}]" in told(index.add, ["c"], wide)
    assert len(index) == 2 and index.ids == ["a", "b"]
    index.add(["c"], points(1, 5))


def test_wide_vectors_are_scanned_in_cells_for_any_k_and_filter(monkeypatch):
    monkeypatch.setattr(faiss_vectors, "NARROW", DIM - 1)
    monkeypatch.setattr(faiss_vectors, "PROBED", 8)
    monkeypatch.setattr(faiss_vectors, "MARGIN", 20)
    index, items, queries = cosine_index(kind="scan"), unit(4000, 0), unit(8, 1)
    index.add(names(4000), items, metadata={"part": [row % 4 for row in range(4000)]})
    assert not index.is_exact
    assert (
        recall(index.search(queries, 10)[0], exact(Cosine(), "texts", queries, items, 10)[0]) > 0.9
    )
    for k, where, chosen in (
        (4000, None, slice(None)),
        (3000, "part != 2", np.arange(4000) % 4 != 2),
    ):
        found, scores = index.search(queries, k, where)
        true, true_scores = exact(Cosine(), "texts", queries, items[chosen], k)
        np.testing.assert_allclose(scores, true_scores, atol=1e-6)
    for k, least in ((1000, 0.9), (10, 0.9)):
        found, _ = index.search(queries, k, "part != 2")
        true = np.argsort(-queries @ items[chosen].T, axis=1)[:, :k]
        true = np.array(names(4000))[chosen][true]
        assert recall(found, true) > least


def test_as_many_cells_are_read_as_find_the_best_of_mixed_searches(monkeypatch, tmp_path):
    monkeypatch.setattr(faiss_vectors, "NARROW", DIM - 1)
    monkeypatch.setattr(faiss_vectors, "PROBED", 1)
    monkeypatch.setattr(faiss_vectors, "MARGIN", 0)
    items = unit(4000, 0)
    mixed = items[:100] + items[100:200]
    true = np.argsort(-mixed @ items.T, axis=1)[:, :10]

    def found(vectors) -> float:
        return np.mean(
            [np.isin(*each).mean() for each in zip(true, vectors.search(mixed, 10)[0], strict=True)]
        )

    monkeypatch.setattr(cells, "RECALL", 0)
    few = faiss_vectors.FaissVectors("scan")
    few.add(items)
    monkeypatch.setattr(cells, "RECALL", 0.99)
    enough = faiss_vectors.FaissVectors("scan")
    enough.add(items)
    assert found(few) < 0.9 and found(enough) > 0.97
    assert few.settings["probed"] == 1 < enough.settings["probed"] < 256
    enough.write(tmp_path / "vectors")
    read = faiss_vectors.FaissVectors.read(tmp_path / "vectors", **enough.settings)
    np.testing.assert_array_equal(read.search(mixed, 10)[0], enough.search(mixed, 10)[0])
    assert read.settings == enough.settings


@pytest.mark.parametrize("make, scorer", [(cosine_index, Cosine()), (relation_index, Relation())])
def test_what_is_there_is_passed_over_what_changed_is_replaced(make, scorer, tmp_path):
    index, items = make(), points(9, 3)
    assert index.add(names(6), items[:6]) == Changes(6, 0, 0)
    index.save(tmp_path / "index")
    index = Index.load(tmp_path / "index", scorer, "A")
    # Rounded otherwise, on another machine.
    assert index.add(names(3), items[:3] * 1.0001) == Changes(0, 0, 3)
    items[2, 0] += 1
    mixed = [7, 2, 8, 0, 6]
    changes = index.add([names(9)[row] for row in mixed], items[mixed])
    assert changes == Changes(3, 1, 1)
    order = [0, 1, 3, 4, 5, 7, 2, 8, 6]
    assert index.ids == [names(9)[row] for row in order] and len(index) == 9
    assert_same([embeddings_of(index)], [items[order]])
    once = make()
    once.add(index.ids, embeddings_of(index))
    assert_same(index.search(points(4, 4), 9), once.search(points(4, 4), 9))
    assert index.delete(["item 2", "nobody"]) == 1
    assert "item 2" not in index.search(points(4, 4), 9)[0]


def test_columns_that_are_not_given_keep_their_values_and_none_clears_one():
    index, items = cosine_index(), unit(4, 3)
    told = {"year": [2020, None, 2022], "album": ["beach", "sea", "hill"]}
    index.add(names(3), items[:3], metadata=told)
    items[2] = unit(1, 9)
    assert index.add(names(4), items, metadata={"album": [None, "sea", "x", "y"]}) == Changes(
        1, 2, 1
    )
    assert index.store.get(names(4)).metadata == {
        "year": [2020, None, 2022, None],
        "album": [None, "sea", "x", "y"],
    }
    items[0] = unit(1, 8)
    assert index.add(["item 0"], items[:1]) == Changes(0, 1, 0)
    assert index.store.get(["item 0"]).metadata["year"] == [2020]


def test_changed_metadata_alone_are_replaced():
    index, items = cosine_index(), unit(2, 3)
    index.add(names(2), items, metadata={"year": [2020, None]})
    assert index.add(names(2), items, metadata={"year": [2020.0, 2021]}) == Changes(0, 1, 1)
    assert index.add(names(2), items, metadata={"album": [None, None]}) == Changes(0, 0, 2)
    found, _ = index.search(items, 2, "year > 2020")
    assert found.tolist() == [["item 1"], ["item 1"]]


@pytest.mark.parametrize("make, scorer", [(relation_index, Relation()), (cosine_index, Cosine())])
def test_a_filter_and_a_minimum_are_those_of_the_exact_ranking(make, scorer):
    index, items, queries = make(), unit(700, 3), unit(5, 4)
    years = np.arange(700) % 50
    index.add(names(700), items, metadata={"year": years.tolist()})
    chosen = np.flatnonzero(years == 7)
    true, true_scores = exact(scorer, "texts", queries, items[chosen], 14)
    found, scores = index.search(queries, 20, "year = 7")
    np.testing.assert_array_equal(
        found,
        np.array(names(700))[chosen][
            np.vectorize(int)([[name.split()[1] for name in row] for row in true])
        ],
    )
    np.testing.assert_allclose(scores, true_scores, rtol=1e-4, atol=1e-5)
    least = float(np.median(true_scores))
    found, scores = index.search(queries, 20, "year = 7", least)
    counts = (true_scores >= least).sum(axis=1)
    assert found.shape == scores.shape == (5, counts.max())
    assert ((found != "").sum(axis=1) == counts).all() and (
        (scores > -np.inf) == (found != "")
    ).all()
    assert index.search(queries, 5, minimum=1e9)[0].shape == (5, 0)


def test_bad_queries():
    index = relation_index()
    assert f"`queries` must be [n, {DIM}]" in told(index.search, np.zeros((2, DIM + 1)), 3)
    assert f"`queries` must be [n, {DIM}]" in told(index.search, np.zeros(DIM), 3)
    assert "`queries` must be finite; row 0" in told(index.search, np.full((1, DIM), np.inf), 3)
    assert "`k` must be at least 1; received 0" in told(index.search, points(1, 4), 0)


def test_a_folder_that_holds_an_index_takes_no_new_one(tmp_path):
    cosine_index(folder=tmp_path / "index").add(names(3), unit(3, 0))
    for folder in (tmp_path / "index", str(tmp_path / "index")):
        assert "holds an index already: open it" in told(cosine_index, folder=folder)


@pytest.mark.parametrize("store", ["faiss", "lancedb"])
def test_a_folder_may_be_a_string(store, tmp_path):
    pytest.importorskip(store)
    cosine_index(folder=str(tmp_path / "index"), store=store).add(names(3), unit(3, 0))
    assert Index.load(str(tmp_path / "index"), Cosine(), "A").ids == names(3)


def test_bad_options():
    assert "use one of: auto, flat, scan" in told(cosine_index, kind="tree")
    assert "use one of: images, texts" in told(build_index, Cosine(), "A", "sounds")
    assert "0 to 1; received 5" in told(relation_index, rescore=5)
    for given in ({"rescore": 1}, {"rescore": 7}, {"landmarks": 5}):
        assert f"`{[*given][0]}` " in (message := told(cosine_index, **given))
        assert "no dot product; this model's is one" in message
    for store in ("lancedb", "qdrant"):
        assert f"The store {store} needs a `folder`" in told(cosine_index, store=store)
    elsewhere = told(cosine_index, url="s3://bucket/path")
    assert "`url` s3://bucket/path is where another store is" in elsewhere
    assert "`landmarks` must be at least 1; received 0" in told(relation_index, landmarks=0)
    assert "needs training `images` and `texts`" in told(build_index, Relation(), "A", "texts")


def test_another_models_index_is_refused(tmp_path):
    index = relation_index()
    index.add(names(3), points(3, 3))
    index.save(tmp_path / "index")
    message = told(Index.load, tmp_path / "index", Relation(1), "B")
    assert "was made with the model A, and this is B" in message


def test_a_damaged_index_is_told(tmp_path):
    folder = tmp_path / "index"
    assert "holds no whole index" in told(Index.load, folder, Relation(), "A")
    index = relation_index()
    index.add(names(300), points(300, 3))
    for name in ("index.json", "embeddings-1.npy", "space.npz", "vectors-1.faiss", "items-1.json"):
        index.save(folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        assert str(folder) in told(Index.load, folder, Relation(), "A"), name
        (folder / name).unlink()
        assert str(folder) in told(Index.load, folder, Relation(), "A"), name
        (folder / "index.json").touch()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    assert "is not empty and holds no index" in told(relation_index().save, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_failure_to_write_leaves_the_old_index(tmp_path, monkeypatch):
    index = relation_index()
    index.add(names(3), points(3, 3))
    index.save(tmp_path / "index")
    index.add(["late"], points(1, 5))
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(
            faiss_vectors.FaissVectors, "write", lambda *_: (_ for _ in ()).throw(OSError("full"))
        )
        index.save(tmp_path / "index")
    assert len(Index.load(tmp_path / "index", Relation(), "A")) == 3


def test_a_kill_while_the_old_index_is_replaced_loses_nothing(tmp_path, monkeypatch):
    index, folder = relation_index(), tmp_path / "index"
    index.add(names(3), points(3, 3))
    index.save(folder)
    index.add(["late"], points(1, 5))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        renames = iter([os.replace] * 5)  # four files, and then the old folder
        patch.setattr(os, "replace", lambda *paths: next(renames, killed)(*paths))
        index.save(folder)
    assert not folder.exists()

    loaded = Index.load(folder, Relation(), "A")
    assert loaded.ids == names(3)
    assert_same(loaded.search(points(2, 4), 3), index_of(3).search(points(2, 4), 3))
    index.save(folder)
    assert Index.load(folder, Relation(), "A").ids == [*names(3), "late"]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def killed(*_):
    raise KeyboardInterrupt


def index_of(n):
    index = relation_index()
    index.add(names(n), points(n, 3))
    return index
