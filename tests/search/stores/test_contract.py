"""What every store does, compared with a NumPy product; the same tests for all of them.

Qdrant is tried in its client's local mode, and on a server where QDRANT_URL names one.
"""

import os
import sys
import uuid
from dataclasses import replace

import numpy as np
import pytest

from tfxmodal.errors import InputError
from tfxmodal.search.stores import STORES, About, StoredItems, open_store, parse, qdrant_store
from tfxmodal.search.stores.where import DEEPEST

DIM, N = 8, 60
ABOUT = About("A", "images")
PLACES = {"faiss": [{}], "lancedb": [{}], "qdrant": [{"url": ":memory:/items"}]}
if url := os.environ.get("QDRANT_URL"):
    PLACES["qdrant"].append({"url": url})
CASES = [(name, place) for name in STORES for place in PLACES[name]]


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *case[1].values()]))
def make(request, tmp_path):
    """Makes an empty store in a folder."""
    name, place = request.param
    if name in ("lancedb", "qdrant"):
        pytest.importorskip({"lancedb": "lancedb", "qdrant": "qdrant_client"}[name])
    made = []

    def new(about=ABOUT, folder="index"):
        given = place
        if place.get("url", "").startswith("http"):
            given = {"url": f"{place['url'].rstrip('/')}/test-{uuid.uuid4().hex}"}
        made.append(STORES[name](about, tmp_path / folder, **given))
        return made[-1]

    yield new
    if name == "qdrant":
        for store in made:
            store.client.delete_collection(store.collection)


def in_memory(store) -> bool:
    """Whether it is in the memory of a client alone."""
    return getattr(store, "url", None) == ":memory:/items"


def vectors(n, seed=0, dim=DIM):
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def items(n=N, seed=0, start=0, embeddings=None):
    rows = range(start, start + n)
    metadata = {
        "year": [None if row % 7 == 0 else 2000 + row for row in rows],
        "album": [["beach", "it's", None][row % 3] for row in rows],
        "public": [row % 2 == 0 for row in rows],
    }
    return StoredItems([f"item {row}" for row in rows], vectors(n, seed), embeddings, metadata)


def test_some_ids_are_from_all_over_the_store(make):
    store, given = make(), items()
    assert store.some(5) == []
    store.add(given)
    some = store.some(7)
    assert len({*some}) == len(some) <= 7 and {*some} <= {*given.ids} and len(some) > 4
    if store.name != "qdrant":  # Whose points are in the order of their hashes.
        rows = [given.ids.index(name) for name in some]
        assert rows[-1] - rows[0] > len(given) / 2
    assert {*store.some(2 * N)} == {*given.ids}
    store.delete(given.ids[:3])
    store.upsert(given.take([4, 5]))
    assert sorted(store.some(2 * N)) == sorted(given.ids[3:])


def ranked(given: StoredItems, queries, k, chosen=None):
    """Ids and products of the best, by NumPy."""
    rows = np.arange(len(given)) if chosen is None else np.flatnonzero(chosen)
    products = queries @ given.vectors[rows].T
    order = np.argsort(-products, axis=1)[:, :k]
    return [[given.ids[rows[each]] for each in row] for row in order], np.sort(-products)[:, :k]


def assert_found(hits, given, queries, k, chosen=None):
    ids, products = ranked(given, queries, k, chosen)
    assert [each.ids for each in hits] == ids
    np.testing.assert_allclose([each.scores for each in hits], -products, atol=1e-5)


def assert_items(mine, other):
    assert list(mine.ids) == list(other.ids)
    np.testing.assert_allclose(mine.vectors, other.vectors, atol=1e-6)
    assert (mine.embeddings is None) == (other.embeddings is None)
    if other.embeddings is not None:
        np.testing.assert_allclose(mine.embeddings, other.embeddings, atol=1e-6)
    for name, values in other.metadata.items():
        assert list(mine.metadata[name]) == list(values), name


def test_it_finds_what_numpy_finds_with_filters_and_a_minimum(make):
    store, given, queries = make(), items(), vectors(3, 1)
    store.add(given)
    assert (store.count(), store.dim, store.is_exact) == (N, DIM, True)
    assert store.columns == {"year": "number", "album": "text", "public": "boolean"}
    assert_found(store.search(queries, 5), given, queries, 5)
    years = np.array([0 if year is None else year for year in given.metadata["year"]])
    albums, public = (np.array(given.metadata[name]) for name in ("album", "public"))
    for text, chosen in (
        ("year > 2020 and album = 'it''s'", (years > 2020) & (albums == "it's")),
        ("not year > 2020", ~(years > 2020)),
        ("year = 2020 or public = false", (years == 2020) | ~public),
        ("album != 'beach'", albums == "it's"),
        ("album is null and year is not null", (albums == None) & (years > 0)),  # noqa: E711
        ("year not in (2001, 2002)", (years > 0) & (years != 2001) & (years != 2002)),
    ):
        where = parse(text, store.columns)
        assert store.count(where) == chosen.sum(), text
        assert_found(store.search(queries, N, where), given, queries, N, chosen)
        got = {name for part in store.items(where) for name in part.ids}
        assert got == {given.ids[row] for row in np.flatnonzero(chosen)}
    products = np.sort(queries @ given.vectors.T)[:, ::-1]
    least = products[:, 3].mean()
    for hits, row in zip(store.search(queries, N, minimum=least), products, strict=True):
        np.testing.assert_allclose(hits.scores, row[row >= least], atol=1e-5)
    nothing = store.search(queries, 5, parse("year > 9999", store.columns))
    assert [each.ids for each in nothing] == [[], [], []]


def test_a_condition_may_name_thousands_of_values(make):
    store, given = make(), items()
    store.add(given)
    many = 100 if in_memory(store) else 5000  # There Python compares each with each item.
    years = ", ".join(map(str, range(2010, 2010 + many)))
    albums = ", ".join(f"'album {number}'" for number in range(many)) + ", 'it''s'"
    of_items = [year or 0 for year in given.metadata["year"]]
    for text, chosen in (
        (f"year in ({years})", [year >= 2010 for year in of_items]),
        (f"year not in ({years})", [0 < year < 2010 for year in of_items]),
        (f"album in ({albums})", [album == "it's" for album in given.metadata["album"]]),
    ):
        where = parse(text, store.columns)
        assert store.count(where) == sum(chosen)
        assert_found(store.search(vectors(1, 1), N, where), given, vectors(1, 1), N, chosen)


@pytest.mark.parametrize(
    "shape",
    [
        "year = 2003 or year not in (2001, 2002) and ({})",
        "year = 2003 or year not in (2001, 2002) and not ({})",
        "not (year = 2003 or album != 'beach' or {})",
        "not (year = 2003 or album != 'beach' and {})",
        "year > 2002 and (album = 'beach' or {})",
        "not ({})",
    ],
)
def test_conditions_as_deep_as_are_read_count_the_same_in_all_stores(make, shape):
    store, masked = make(), STORES["faiss"](ABOUT)
    store.add(items())
    masked.add(items())
    for text in (
        "year not in (2001, 2004)",
        "public = true or not album = 'beach' and year > 2010",
    ):
        for _ in range(DEEPEST - 1):
            text = shape.format(text)
        where = parse(text, store.columns)
        assert store.count(where) == masked.count(where)
        with pytest.raises(InputError, match="`where` holds more than"):
            parse(f"({text})", store.columns)


def test_items_are_added_replaced_and_deleted(make):
    store, given = make(), items()
    store.add(given)
    with pytest.raises(InputError, match=r"2 items are there already \('item 4', 'item 5'\)"):
        store.add(items(2, start=4))
    assert store.count() == N
    changed = items(4, seed=5, start=N - 2)
    store.upsert(changed)
    assert store.delete(["item 0", "nobody", "item 3", "item 0"]) == 2
    assert store.delete(["item 0"]) == store.delete([]) == 0
    kept = [*range(1, 3), *range(4, N - 2)]
    whole = given.take(kept)
    now = StoredItems(
        [*whole.ids, *changed.ids],
        np.concatenate([whole.vectors, changed.vectors]),
        None,
        {name: [*whole.metadata[name], *changed.metadata[name]] for name in whole.metadata},
    )
    assert store.count() == len(now) == N
    queries = vectors(3, 1)
    assert_found(store.search(queries, N), now, queries, N)
    asked = ["item 61", "item 3", "item 58", "nobody", "\ud800", "item 7"]
    assert_items(store.get(asked), now.take([now.ids.index(f"item {row}") for row in (61, 58, 7)]))
    assert len(store.get([])) == store.delete(["\ud800"]) == 0
    assert store.count(parse("year = 2061", store.columns)) == 1


@pytest.mark.parametrize("embeddings", [None, vectors(3, 3, 5)])
def test_a_store_whose_items_are_all_deleted_takes_new_ones(make, embeddings):
    store, given = make(), items(3, embeddings=embeddings)
    store.add(given)
    assert store.delete(given.ids) == 3
    assert store.count() == sum(len(part) for part in store.items()) == 0
    store.add(given.take([1]))
    store.upsert(given.take([1]))
    assert store.count() == 1
    assert_items(store.get(given.ids), given.take([1]))
    assert_found(store.search(vectors(2, 1), 3), given.take([1]), vectors(2, 1), 3)


def test_what_utf_8_cannot_hold_of_a_text_becomes_a_question_mark(make):
    store = make()
    store.add(StoredItems(["a"], vectors(1), None, {"album": ["fun \ud83d \U0001f600"]}))
    assert store.get(["a"]).metadata["album"] == ["fun ? \U0001f600"]


def test_embeddings_are_kept_beside_the_vectors(make):
    about = replace(ABOUT, rescore=0.5, space={"mean": np.arange(3, dtype=np.float32)})
    store, given = make(about), items(embeddings=vectors(N, 3, 5))
    store.add(given)
    store.upsert(replace(items(1, seed=9), embeddings=vectors(1, 4, 5)))
    assert_items(store.get(given.ids[1:]), given.take(range(1, N)))
    np.testing.assert_allclose(store.get(["item 0"]).scored, vectors(1, 4, 5), atol=1e-6)
    for wrong in (items(2, start=99), items(2, start=99, embeddings=vectors(2, 0, 4))):
        with pytest.raises(InputError, match="`embeddings`"):
            store.add(wrong)
    assert store.count() == N


def test_columns_may_come_later_and_keep_their_type(make):
    store = make()
    store.add(StoredItems(["a"], vectors(1)))
    store.add(StoredItems(["b"], vectors(1, 1), None, {"year": [None]}))
    assert store.columns == {}
    store.add(StoredItems(["c"], vectors(1, 2), None, {"year": [2020], "album": ["x"]}))
    store.upsert(StoredItems(["a"], vectors(1), None, {"album": ["y"]}))
    assert store.columns == {"year": "number", "album": "text"}
    got = store.get(["a", "b", "c"])
    assert {name: list(values) for name, values in got.metadata.items()} == {
        "year": [None, None, 2020],
        "album": ["y", None, "x"],
    }
    for metadata, told in (
        ({"year": ["x"]}, "column year holds number values; received 'x'"),
        ({"vector": [1]}, "metadata column is named 'vector'"),
        ({"a b": [1]}, "metadata column is named 'a b'"),
        ({"tags": [["x"]]}, r"column tags holds texts, numbers and booleans; received \['x'\]"),
        ({"big": [2**60]}, "give it as a text"),
        ({"year": [1, 2]}, "`year` must hold a value of each item; received 2"),
    ):
        with pytest.raises(InputError, match=told):
            store.upsert(StoredItems(["d"], vectors(1), None, metadata))
    assert store.count() == 3


def test_what_does_not_fit_changes_nothing(make):
    store = make()
    assert store.count() == 0 and store.dim is None
    assert [each.ids for each in store.search(vectors(2), 3)] == [[], []]
    store.add(items(3))
    bad = vectors(2)
    bad[1, 2] = np.nan
    for ids, rows, told in (
        (["d", "d"], vectors(2), "The id 'd' is given 2 times"),
        (["c", "d"], bad, "`vectors` must be finite; row 1"),
        (["c"], vectors(1, 0, DIM + 1), rf"`vectors` must be \[n, {DIM}\]"),
        (["c"], vectors(2), "received 2 for 1 ids"),
        ([""], vectors(1), "`ids` must be texts in UTF-8; received ''"),
        (["\ud800"], vectors(1), "`ids` must be texts"),
    ):
        for write in (store.add, store.upsert):
            with pytest.raises(InputError, match=told):
                write(StoredItems(ids, rows))
    with pytest.raises(InputError, match=rf"`queries` must be \[n, {DIM}\]"):
        store.search(vectors(1, 0, 3), 2)
    assert store.count() == 3


def test_ids_that_look_like_code_are_ids(make):
    store = make()
    names = ["it's", "a' or '1' = '1", 'b"', "c`", "d\\", "日本/é.jpg", "%", "e\n"]
    store.add(StoredItems(names, vectors(8), None, {"album": names}))
    assert store.get(names[::-1]).ids == names[::-1]
    for name in names:
        text = "'" + name.replace("'", "''") + "'"
        (found,) = store.items(parse(f"album = {text}", store.columns))
        assert list(found.ids) == [name]
    assert store.delete(names[:3]) == 3
    assert store.count() == 5


def test_it_is_opened_as_it_was_and_by_its_own_model_alone(make, tmp_path):
    space = {"mean": np.arange(3, dtype=np.float32)}
    store, given = make(About("A", "texts", 0.25, space)), items(embeddings=vectors(N, 3, 5))
    store.add(given)
    store.delete(["item 2"])
    opened = store if in_memory(store) else open_store(tmp_path / "index", "A")
    assert (opened.about.gallery, opened.about.rescore) == ("texts", 0.25)
    np.testing.assert_array_equal(opened.about.space["mean"], space["mean"])
    whole = given.take([row for row in range(N) if row != 2])
    assert_items(opened.get(given.ids), whole)
    assert_found(opened.search(vectors(2, 1), 9), whole, vectors(2, 1), 9)
    opened.upsert(items(1, seed=3, start=2, embeddings=vectors(1, 8, 5)))
    assert opened.count() == N
    with pytest.raises(InputError, match="was made with the model A, and this is B"):
        open_store(tmp_path / "index", "B")


def test_a_snapshot_is_an_index_of_its_own(make, tmp_path):
    store, given = make(), items()
    store.add(given)
    store.delete(["item 1"])
    store.snapshot(tmp_path / "copy")
    store.delete(given.ids[:30])
    copy = open_store(tmp_path / "copy", "A")
    whole = given.take([0, *range(2, N)])
    assert copy.count() == N - 1 and copy.columns == store.columns
    assert_items(copy.get(given.ids), whole)
    copy.delete(["item 50"])
    assert store.count() == N - 30 and copy.count() == N - 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(InputError, match="is not empty and holds no index"):
        store.snapshot(tmp_path / "mine")


def test_who_has_it_open_sees_what_another_one_writes(make, tmp_path):
    """Or, of a store that one process writes, goes on with what it opened."""
    store = make()
    store.add(items())
    if in_memory(store):
        pytest.skip("the local mode of a client is in its memory")
    other = open_store(tmp_path / "index", "A")
    store.delete(["item 1", "item 2"])
    seen = N - 2 if store.is_shared else N
    assert other.count() == seen == sum(len(part) for part in other.items())
    assert len(other.search(vectors(1, 1), N)[0].ids) == seen
    if store.is_shared:
        other.upsert(items(1, seed=7))
        assert store.count() == N - 2
        np.testing.assert_allclose(store.get(["item 0"]).vectors, vectors(1, 7), atol=1e-6)
    else:
        with pytest.raises(InputError, match="was changed by another process .* open it again"):
            other.delete(["item 3"])
        assert open_store(tmp_path / "index", "A").count() == N - 2


@pytest.mark.parametrize("name, package", [("lancedb", "lancedb"), ("qdrant", "qdrant-client")])
def test_a_package_that_is_not_installed_is_named(name, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(
        InputError, match=f"`store` {name} needs the package {package}: pip install"
    ):
        STORES[name](ABOUT, tmp_path / "index")


@pytest.mark.parametrize("url", [None, "items", "http://127.0.0.1:9/items", "nowhere:x/items"])
def test_an_address_without_qdrant_is_told(url, tmp_path):
    pytest.importorskip("qdrant_client")
    with pytest.raises(
        InputError, match="`url` .*(HOST:6333/COLLECTION|does not answer as Qdrant)"
    ):
        STORES["qdrant"](ABOUT, tmp_path / "index", url)
    assert not (tmp_path / "index").exists()


def test_a_server_that_fails_later_is_told_as_well(tmp_path, monkeypatch):
    pytest.importorskip("qdrant_client")
    from qdrant_client.http.exceptions import UnexpectedResponse

    def refuse(*_, **__):
        raise UnexpectedResponse(413, "Payload Too Large", b"33 MB", None)

    store = STORES["qdrant"](ABOUT, tmp_path / "index", ":memory:/items")
    store.add(items(2))
    for name, call in (
        ("upsert", lambda: store.upsert(items(1))),
        ("retrieve", lambda: store.get(["item 0"])),
        ("query_batch_points", lambda: store.search(vectors(1), 1)),
        ("collection_exists", store.count),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(type(store.client._client), name, refuse)
            store._known = None if name == "collection_exists" else store._known
            with pytest.raises(InputError, match=r"`url` :memory:/items does not .* 413 \(Payload"):
                call()
    assert store.count() == 2


def test_wide_vectors_go_to_a_server_in_smaller_requests(tmp_path, monkeypatch):
    pytest.importorskip("qdrant_client")
    monkeypatch.setattr(qdrant_store, "NUMBERS", 4 * DIM)
    store, sent = STORES["qdrant"](ABOUT, tmp_path / "index", ":memory:/items"), []
    upsert = store.client._client.upsert
    monkeypatch.setattr(
        store.client._client,
        "upsert",
        lambda name, points, **how: sent.append(len(points)) or upsert(name, points, **how),
    )
    store.add(items(10))
    assert sent == [4, 4, 2] and store.count() == 10


def test_a_place_with_vectors_of_another_space_is_refused(tmp_path):
    pytest.importorskip("lancedb")
    url = str(tmp_path / "shared")
    STORES["lancedb"](ABOUT, tmp_path / "one", url).add(items(3))
    STORES["lancedb"](ABOUT, tmp_path / "two", url).add(items(1, start=9))
    assert open_store(tmp_path / "one", "A").count() == 4
    for about in (
        replace(ABOUT, fingerprint="B"),
        replace(ABOUT, gallery="texts"),
        replace(ABOUT, space={"mean": np.ones(3)}),
    ):
        with pytest.raises(InputError, match="`url` .*shared holds vectors of another model, gall"):
            STORES["lancedb"](about, tmp_path / "three", url).add(items(1))
    assert not (tmp_path / "three").exists()
