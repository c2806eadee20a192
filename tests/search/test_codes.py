"""An index of binary codes: packed, exact, and of equal distances the earlier items first."""

import faiss
import numpy as np
import pytest

from tests.retrieval.codes import GivenCodes, codes, distances
from tfxmodal.errors import InputError
from tfxmodal.search.index import Changes, Index
from tfxmodal.search.new_index import build_index
from tfxmodal.search.stores.faiss_codes import FaissCodes


def names(n):
    return [f"{row:04}" for row in range(n)]


@pytest.mark.parametrize("gallery", ["texts", "images"])
@pytest.mark.parametrize("bits", [16, 40])
def test_it_finds_what_a_sort_by_distance_finds_also_when_opened_again(gallery, bits, tmp_path):
    index = build_index(GivenCodes(), "A", gallery)
    items, queries = codes(3000, bits, 0), codes(20, bits, 1)
    index.add(names(1000), items[:1000])
    index.save(tmp_path / "index")
    index = Index.load(tmp_path / "index", GivenCodes(), "A")
    assert index.add(names(3000), items) == Changes(2000, 0, 1000)
    differ = distances(queries, items)
    order = np.argsort(differ, axis=1, kind="stable")
    for each in (index, Index.load(tmp_path / "index", GivenCodes(), "A")):
        assert each.is_exact and len(each) == 3000
        for k in (1, 300, 3000):
            found, scores = each.search(queries, k)
            np.testing.assert_array_equal(found.astype(int), order[:, :k])
            nearest = np.take_along_axis(differ, order[:, :k], axis=1)
            np.testing.assert_allclose(scores, 1 - 2 * nearest / bits, rtol=0, atol=1e-6)
        np.testing.assert_allclose(each.store.get(each.ids).scored, items)
    assert np.load(tmp_path / "index/vectors-2.faiss").nbytes == 3000 * bits // 8


def test_a_search_of_all_codes_copies_none(monkeypatch):
    store, items, searched = FaissCodes(), codes(50, 16, 0), []
    store.add(items)

    def search(asked, among, k):
        searched.append(among)
        return knn_hamming(asked, among, k)

    knn_hamming = faiss.knn_hamming
    monkeypatch.setattr(faiss, "knn_hamming", search)
    allowed = np.arange(50) % 2 == 1
    for among in (None, allowed):
        found, _ = store.search(items[[7, 31]], 1, among)
        assert found.tolist() == [[7], [31]]
    whole, some = searched
    assert np.shares_memory(whole, store._codes) and len(some) == 25


def test_a_changed_code_is_replaced_and_a_scan_refused():
    index, items = build_index(GivenCodes(), "A", "texts"), codes(4, 16, 0)
    index.add(names(4), items)
    assert index.add(["0002"], -items[2:3]) == Changes(0, 1, 0)
    assert index.search(-items[2:3], 1, where=None)[0] == [["0002"]]
    with pytest.raises(InputError, match="must be .n, 16., as wide as"):
        index.search(codes(1, 24, 0), 1)
    with pytest.raises(
        InputError, match="`kind` scan is how FAISS .*; received it .*: leave it out"
    ):
        build_index(GivenCodes(), "A", "texts", kind="scan")


def test_an_index_without_its_codes_is_told(tmp_path):
    index = build_index(GivenCodes(), "A", "texts")
    index.add(names(4), codes(4, 16, 0))
    index.save(tmp_path / "index")
    np.save(tmp_path / "index/codes.npy", np.zeros((3, 2), np.uint8))
    (tmp_path / "index/codes.npy").replace(tmp_path / "index/vectors-1.faiss")
    with pytest.raises(InputError, match=r"no whole index \(3 vectors of 4 items\)"):
        Index.load(tmp_path / "index", GivenCodes(), "A")
