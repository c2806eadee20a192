"""Several writers lose nothing, and neither does one that is killed."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from tests.search.stores.test_contract import ABOUT, DIM, vectors
from tests.waiting import PATIENCE
from tfxmodal.errors import InputError
from tfxmodal.io.locks import InUse
from tfxmodal.search.stores import STORES, StoredItems, lancedb_store, open_store

WRITER = """
import itertools, sys
from pathlib import Path
from tests.search.stores.test_contract import ABOUT, vectors
from tfxmodal.search.stores import STORES, StoredItems
store = STORES[sys.argv[1]](ABOUT, Path(sys.argv[2]))
for number in itertools.count():
    ids = [f"{number}-{row}" for row in range(3)]
    store.upsert(StoredItems([*ids, "again"], vectors(4, number), None, {"at": [number] * 4}))
    print(number, flush=True)
"""
ACKNOWLEDGED = 6


@pytest.mark.parametrize("name", ["faiss", "lancedb"])
def test_what_a_killed_process_was_told_is_written_is_there(name, tmp_path):
    command = [sys.executable, "-c", WRITER, name, tmp_path / "index"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = [int(process.stdout.readline()) for _ in range(ACKNOWLEDGED)]
        process.send_signal(signal.SIGKILL)
    store = open_store(tmp_path / "index", ABOUT.fingerprint)
    assert told == list(range(ACKNOWLEDGED))
    for number in told:
        np.testing.assert_allclose(
            store.get([f"{number}-{row}" for row in range(3)]).vectors, vectors(4, number)[:3]
        )
    writes, rest = divmod(store.count() - 1, 3)
    assert writes >= ACKNOWLEDGED and not rest  # Each write whole.
    last = store.get(["again"])
    assert last.metadata["at"] == [writes - 1]
    store.upsert(StoredItems(["later"], vectors(1)))
    assert open_store(tmp_path / "index", ABOUT.fingerprint).count() == 3 * writes + 2


def test_several_writers_lose_nothing(tmp_path):
    """Each with a table of its own, as several processes have, and with columns of its own."""
    writers, writes = 3, 5
    STORES["lancedb"](ABOUT, tmp_path / "index").add(StoredItems(["shared"], vectors(1, 9)))

    def write(writer: int):
        store = STORES["lancedb"](ABOUT, tmp_path / "index")
        for number in range(writes):
            ids = [f"{writer}-{number}", f"{writer}-{number}-old", "shared"]
            metadata = {f"of_{writer}": [number] * 3, "at": [number] * 3}
            store.upsert(StoredItems(ids, vectors(3, number), None, metadata))
            assert store.delete([f"{writer}-{number}-old"]) == 1

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    store = open_store(tmp_path / "index", ABOUT.fingerprint)
    kept = [f"{writer}-{number}" for writer in range(writers) for number in range(writes)]
    assert store.count() == len(kept) + 1 and store.dim == DIM
    found = store.get([*kept, "shared"])
    assert found.ids == [*kept, "shared"]
    for writer in range(writers):
        numbers = [
            number if name[0] == str(writer) else None
            for name, number in zip(kept, list(range(writes)) * writers, strict=True)
        ]
        assert found.metadata[f"of_{writer}"][:-1] == numbers


def test_writers_of_one_table_from_two_folders_write_no_item_twice(tmp_path):
    url, ids, together = str(tmp_path / "shared"), [f"{n}" for n in range(30)], Barrier(2)

    def write(writer: int):
        store = STORES["lancedb"](ABOUT, tmp_path / f"index {writer}", url)
        for name in ids:
            together.wait(PATIENCE)
            store.upsert(StoredItems([name], vectors(1)))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    store = open_store(tmp_path / "index 0", ABOUT.fingerprint)
    assert store.count() == len(ids)
    assert sorted(name for part in store.items() for name in part.ids) == sorted(ids)


def test_a_doubled_row_hides_no_other_item(tmp_path):
    """As earlier versions wrote them."""
    store = STORES["lancedb"](ABOUT, tmp_path / "index")
    store.add(StoredItems(["a"], vectors(1)))
    store._table.add(store._table.to_arrow())
    store.add(StoredItems(["b"], vectors(1)))
    assert store.get(["a", "b"]).ids == ["a", "b"]


def test_many_items_are_deleted_by_one_write(tmp_path, monkeypatch):
    monkeypatch.setattr(lancedb_store, "LOOKED_UP", 4)
    store, ids = STORES["lancedb"](ABOUT, tmp_path / "index"), [f"{row}" for row in range(10)]
    store.add(StoredItems(ids, vectors(10)))
    before = store._table.version
    assert store.delete([*ids[:9], "nobody", ids[0]]) == 9
    assert store._table.version == before + 1 and store.count() == 1


def test_the_first_write_of_faiss_replaces_no_index_of_another(tmp_path):
    one, two = (STORES["faiss"](ABOUT, tmp_path / "index") for _ in range(2))
    one.add(StoredItems(["a", "b"], vectors(2)))
    with pytest.raises(InputError, match="index was made by another process meanwhile: open it"):
        two.add(StoredItems(["c"], vectors(1)))
    assert two.count() == 0 and one.delete(["a"]) == 1
    assert open_store(tmp_path / "index", ABOUT.fingerprint).get(["a", "b", "c"]).ids == ["b"]


def test_two_first_writes_of_faiss_are_not_at_once(tmp_path, monkeypatch):
    one, two = (STORES["faiss"](ABOUT, tmp_path / "index") for _ in range(2))
    write = one.snapshot

    def later(folder):
        with pytest.raises(InUse, match="index is in use by process"):
            two.add(StoredItems(["c"], vectors(1)))
        write(folder)

    monkeypatch.setattr(one, "snapshot", later)
    one.add(StoredItems(["a"], vectors(1)))
    assert open_store(tmp_path / "index", ABOUT.fingerprint).get(["a", "c"]).ids == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_first_write_of_faiss_that_fails_can_be_sent_again(tmp_path):
    store, given = STORES["faiss"](ABOUT, tmp_path / "index"), StoredItems(["a"], vectors(1))
    (tmp_path / "index").write_text("no folder")
    with pytest.raises(OSError):
        store.add(given)
    assert store.count() == 0 and store.dim is None
    (tmp_path / "index").unlink()
    store.add(given)
    assert open_store(tmp_path / "index", ABOUT.fingerprint).count() == 1
