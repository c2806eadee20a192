"""Galleries of LanceDB that are not searched item by item."""

from datetime import timedelta

import numpy as np
import pytest

pytest.importorskip("lancedb")

from tfxmodal.search.stores import About, StoredItems, parse
from tfxmodal.search.stores import lancedb_store as lance

N = 3000


def clustered(n: int, dim: int, rng) -> np.ndarray:
    """Vectors of length 1 around 50 directions."""
    middles = np.random.default_rng(7).standard_normal((50, dim))
    rows = middles[rng.integers(50, size=n)] + 0.7 * rng.standard_normal((n, dim))
    return np.float32(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def recall(store, queries, items, k, rows=None, where=None) -> float:
    rows = np.arange(len(items)) if rows is None else rows
    best = rows[np.argsort(-queries @ items[rows].T, axis=1)[:, :k]]
    hits = store.search(queries, k, where)
    assert all(len(each.ids) == best.shape[1] for each in hits)
    for query, each in zip(queries, hits, strict=True):
        of_items = items[np.array(each.ids, int)] @ query
        np.testing.assert_allclose(each.scores, of_items, atol=1e-5)
    return np.mean(
        [np.isin(b, np.array(h.ids, int)).mean() for b, h in zip(best, hits, strict=True)]
    )


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """Makes a store of items that are too many to be compared one by one."""
    monkeypatch.setattr(lance, "EXACT", 300)
    monkeypatch.setattr(lance, "CELL", 50)
    monkeypatch.setattr(lance, "PROBED", 50)  # Cells are so small that many items are in several.

    def new(dim: int):
        rng = np.random.default_rng(0)
        items, queries = clustered(N, dim, rng), clustered(50, dim, rng)
        store = lance.LanceStore(About("A", "images"), tmp_path / "index")
        metadata = {"part": (np.arange(N) % 100).tolist()}
        store.add(StoredItems([str(row) for row in range(N)], items, None, metadata))
        return store, items, queries

    return new


@pytest.mark.parametrize(("dim", "kind"), [(64, "IvfRq"), (10, "IvfSq")])
def test_cells_and_codes_find_nearly_all_that_numpy_finds(filled, dim, kind):
    store, items, queries = filled(dim)
    assert store.is_exact
    store._index()  # `optimize` would join cells that are so small.
    assert not store.is_exact
    assert store._indices["vector"] == kind
    for k in (1, 10, 100):
        assert recall(store, queries, items, k) >= 0.98
    part = np.arange(7, N, 100)
    assert recall(store, queries, items, 10, part, parse("part = 7", store.columns)) >= 0.98


def test_where_the_nearest_cells_hold_too_few_more_are_read(filled, monkeypatch):
    store, items, queries = filled(64)
    monkeypatch.setattr(lance, "PROBED", 1)
    monkeypatch.setattr(lance, "WANTED", 1000)
    store._index()
    assert recall(store, queries, items, 150) > 0.9  # `recall` also counts what is found.


def test_what_was_written_since_is_found_and_what_was_deleted_is_not(filled):
    store, items, queries = filled(64)
    store.optimize()
    store.upsert(StoredItems([str(N)], queries[:1]))
    assert store.search(queries[:1], 1)[0].ids == [str(N)]
    store.optimize()
    assert store.search(queries[:1], 1)[0].ids == [str(N)]
    assert store.delete([str(N)]) == 1
    assert store.search(queries[:1], 1)[0].ids != [str(N)]
    assert recall(store, queries, items, 10) >= 0.98


def test_the_graph_of_an_earlier_version_is_searched_and_replaced(filled):
    store, items, queries = filled(64)
    store._table.create_index("dot", num_partitions=1, index_type="IVF_HNSW_SQ")
    assert recall(store, queries, items, 10) >= 0.98
    store._keep_chosen('{"cells": 7, "items": 3000}')  # Of the graph, of which all is read.
    store.optimize()
    assert store._indices["vector"] == "IvfRq"
    assert store._chosen["cells"] >= lance.PROBED
    assert recall(store, queries, items, 10) >= 0.98


def test_as_many_cells_are_read_as_find_the_best_of_mixed_searches(filled, monkeypatch):
    store, items, _ = filled(64)
    monkeypatch.setattr(lance, "PROBED", 1)
    monkeypatch.setattr(lance, "ASKED", 40)
    mixed = items[:25] + items[25:50]
    store._index()
    assert recall(store, mixed, items, 10) < 0.9
    store._choose_cells()
    assert recall(store, mixed, items, 10) > 0.95
    opened = lance.LanceStore.open(store.folder)
    assert recall(opened, mixed, items, 10) > 0.95
    chosen, version = opened._chosen, opened._table.version
    assert chosen["items"] == N and 1 < chosen["cells"] <= 64
    opened._choose_cells()
    assert opened._table.version == version  # Not again before it has grown.
    monkeypatch.setattr(lance, "GROWTH", 0.5)
    opened._choose_cells()
    assert opened._chosen == chosen and opened._table.version > version


def test_the_cells_that_are_made_are_not_joined_again(tmp_path):
    rng = np.random.default_rng(0)
    store, n = lance.LanceStore(About("A", "images"), tmp_path / "index"), 6 * lance.CELL
    store.add(StoredItems([str(row) for row in range(n)], clustered(n, 16, rng)))
    store.optimize()

    def made() -> list[str]:
        folder = tmp_path / "index/items.lance/_indices"
        return sorted(each.parent.name for each in folder.glob("*/auxiliary.idx"))

    (first,) = made()
    store.optimize()
    assert made() == [first]  # Else `optimize` has written others.


def test_a_gallery_that_grows_by_single_writes_gets_cells(filled, monkeypatch):
    monkeypatch.setattr(lance, "VERSIONS", 4)
    store, items, queries = filled(64)
    for row in range(8):
        store.upsert(StoredItems([str(row)], items[row : row + 1], None, {"part": [row]}))
    assert not store.is_exact
    assert recall(store, queries, items, 10) >= 0.98


def test_what_was_written_is_written_though_it_cannot_be_put_in_order(filled, monkeypatch, caplog):
    monkeypatch.setattr(lance, "VERSIONS", 1)
    store, items, _ = filled(64)

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(type(store._table), "optimize", full)
    store.upsert(StoredItems(["new"], items[:1]))
    assert store.delete(["0"]) == 1
    assert store.count() == N and store.get(["new"]).ids == ["new"]
    assert caplog.text.count("cannot be put in order now") == 2


def test_who_reads_all_items_for_long_loses_none(filled, monkeypatch):
    monkeypatch.setattr(lance, "BATCH", 1000)
    monkeypatch.setattr(lance, "KEPT", timedelta(0))
    store, items, _ = filled(64)
    for row in range(3):
        store.upsert(StoredItems([f"new {row}"], items[:1]))
    batches = store.items()
    found = next(batches).ids
    store.delete(["2500"])
    store.optimize()  # Old versions are gone.
    for part in batches:
        found += part.ids
    assert len(found) == N + 2 and len(set(found)) == N + 2 and "2500" not in found


@pytest.mark.filterwarnings("ignore:optimize.cleanup_older_than=0")
def test_old_files_go_when_what_replaces_them_is_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "KEPT", timedelta(0))
    store, synced = lance.LanceStore(About("A", "images"), tmp_path / "index"), []
    for number in range(4):
        rows = clustered(5, 8, np.random.default_rng(number))
        store.upsert(StoredItems([f"{number}-{row}" for row in range(5)], rows))

    def files() -> set[str]:
        return {path.name for path in (tmp_path / "index").rglob("data/*.lance")}

    before = files()
    monkeypatch.setattr(lance, "sync_changes", lambda *_: synced.append(files()))
    store.optimize()
    (there,) = synced
    assert len(before) == 4 and before < there and files() == there - before
    assert store.count() == 20
