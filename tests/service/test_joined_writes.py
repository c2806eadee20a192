"""Writes of many callers at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tfxmodal.errors import InputError
from tfxmodal.io.locks import InUse
from tfxmodal.service.joined_writes import JoinedWrites


def item(name: str):
    return SimpleNamespace(item=SimpleNamespace(id=name))


class Writing:
    """Writes slowly, and refuses items whose name is in `refused`."""

    def __init__(self, seconds=0.0, refused=(), fault=None):
        self.seconds, self.refused, self.fault, self.calls = seconds, refused, fault, []
        self._busy = threading.Lock()

    def __call__(self, gallery, items):
        assert self._busy.acquire(blocking=False), "two write at once"
        names = [each.item.id for each in items]
        try:
            time.sleep(self.seconds)
            self.calls.append((gallery, names))
            if self.fault:
                raise self.fault
            if bad := sorted(set(names) & set(self.refused)):
                raise InputError(f"{bad[0]} does not fit")
        finally:
            self._busy.release()


def outcomes(write: JoinedWrites, names, gallery="one", workers=32) -> list:
    def one(name):
        try:
            return write(gallery, [item(name)])
        except Exception as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        return [*pool.map(one, names)]


def test_many_callers_share_a_write():
    writing = Writing(seconds=0.05)
    names = [f"{n}" for n in range(64)]
    assert outcomes(JoinedWrites(writing, 5), names) == [None] * 64
    assert sorted(name for _, part in writing.calls for name in part) == sorted(names)
    assert len(writing.calls) < 10


def test_one_that_does_not_fit_is_refused_alone():
    writing = Writing(seconds=0.05, refused=("7",))
    found = outcomes(JoinedWrites(writing, 5), [f"{n}" for n in range(16)])
    assert [n for n, each in enumerate(found) if each] == [7]
    assert isinstance(found[7], InputError) and "7 does not fit" in str(found[7])
    assert max(len(part) for _, part in writing.calls) > 1  # It was tried together with others.
    assert {name for _, part in writing.calls for name in part} == {f"{n}" for n in range(16)}


def test_a_fault_of_the_store_is_told_to_all_it_concerns():
    writing = Writing(seconds=0.02, fault=OSError("full"))
    found = outcomes(JoinedWrites(writing, 5), ["a", "b", "c"])
    assert [type(each) for each in found] == [OSError] * 3
    writing.fault = None
    assert outcomes(JoinedWrites(writing, 5), ["a"]) == [None]


def test_one_item_is_not_twice_in_a_write_nor_galleries_mixed():
    writing = Writing(seconds=0.05)
    write = JoinedWrites(writing, 5)
    with ThreadPoolExecutor(12) as pool:
        given = [("one" if n % 3 else "two", f"{n % 4}") for n in range(12)]
        list(pool.map(lambda each: write(each[0], [item(each[1])]), given))
    for _, names in writing.calls:
        assert len(set(names)) == len(names)
    written = [(gallery, name) for gallery, names in writing.calls for name in names]
    assert sorted(written) == sorted(given)


def test_who_gets_no_turn_is_told_and_nothing_of_it_is_written():
    writing = Writing(seconds=0.6)
    write = JoinedWrites(writing, 0.2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write, "one", [item("first")])
        while not write._is_writing:
            time.sleep(0.01)
        with pytest.raises(InUse, match="try again later"):
            write("one", [item("late")])
        first.result()
    assert outcomes(write, ["next"]) == [None]
    assert [names for _, names in writing.calls] == [["first"], ["next"]]
