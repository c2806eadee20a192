"""Writes of many callers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.waiting import PATIENCE, eventually
from tfxmodal.errors import InputError
from tfxmodal.io.locks import InUse
from tfxmodal.service.joined_writes import JoinedWrites


def item(name: str):
    return SimpleNamespace(item=SimpleNamespace(id=name))


class Writing:
    """Refuses items whose name is in `refused`; its first write takes until `held` is over."""

    def __init__(self, refused=(), fault=None):
        self.refused, self.fault, self.calls = refused, fault, []
        self.held, self._busy = lambda: None, threading.Lock()

    def __call__(self, gallery, items):
        assert self._busy.acquire(blocking=False), "two write at once"
        names = [each.item.id for each in items]
        try:
            self.calls.append((gallery, names))
            if len(self.calls) == 1:
                self.held()
            if self.fault:
                raise self.fault
            if bad := sorted(set(names) & set(self.refused)):
                raise InputError(f"{bad[0]} does not fit")
        finally:
            self._busy.release()


def outcomes(writing: Writing, given) -> list:
    """What each of some callers gets, who all come during the first one's write."""
    write = JoinedWrites(writing, PATIENCE)
    writing.held = lambda: eventually(lambda: len(write._waiting) == len(given) - 1)

    def one(gallery, name):
        try:
            return write(gallery, [item(name)])
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(given)) as pool:
        return [*pool.map(one, *zip(*given, strict=True))]


def test_many_callers_share_a_write():
    writing, names = Writing(), [f"{n}" for n in range(64)]
    assert outcomes(writing, [("one", name) for name in names]) == [None] * 64
    assert sorted(name for _, part in writing.calls for name in part) == sorted(names)
    assert [len(part) for _, part in writing.calls] == [1, 63]


def test_one_that_does_not_fit_is_refused_alone():
    writing = Writing(refused=("7",))
    found = outcomes(writing, [("one", f"{n}") for n in range(16)])
    assert [n for n, each in enumerate(found) if each] == [7]
    assert isinstance(found[7], InputError) and "7 does not fit" in str(found[7])
    assert len(writing.calls[1][1]) == 15  # It was tried together with others.
    assert {name for _, part in writing.calls for name in part} == {f"{n}" for n in range(16)}


def test_a_fault_of_the_store_is_told_to_all_it_concerns():
    writing = Writing(fault=OSError("full"))
    found = outcomes(writing, [("one", name) for name in "abc"])
    assert [type(each) for each in found] == [OSError] * 3
    assert [len(part) for _, part in writing.calls] == [1, 2]
    writing.fault = None
    assert outcomes(writing, [("one", "a")]) == [None]


def test_one_item_is_not_twice_in_a_write_nor_galleries_mixed():
    writing = Writing()
    given = [("one" if n % 3 else "two", f"{n % 4}") for n in range(12)]
    assert outcomes(writing, given) == [None] * 12
    for _, names in writing.calls:
        assert len(set(names)) == len(names)
    written = [(gallery, name) for gallery, names in writing.calls for name in names]
    assert sorted(written) == sorted(given)


def test_who_gets_no_turn_is_told_and_nothing_of_it_is_written():
    writing, told = Writing(), threading.Event()
    writing.held = lambda: told.wait(PATIENCE)
    write = JoinedWrites(writing, 0.2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write, "one", [item("first")])
        eventually(lambda: write._is_writing)
        with pytest.raises(InUse, match="try again later"):
            write("one", [item("late")])
        told.set()
        first.result()
    write("one", [item("next")])
    assert [names for _, names in writing.calls] == [["first"], ["next"]]
