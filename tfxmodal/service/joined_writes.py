"""Writes of many callers at once, joined: a store takes as long for one item as for many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tfxmodal.errors import InputError
from tfxmodal.io.locks import InUse
from tfxmodal.service.gallery import Embedded, Gallery


@dataclass(eq=False)
class _Write:
    """Items of one caller; with an error, where they could not be written."""

    gallery: Gallery
    items: Sequence[Embedded]
    done: bool = False
    error: BaseException | None = None

    @property
    def names(self) -> set[str]:
        return {each.item.id for each in self.items}


class JoinedWrites:
    """Writes in turns; a turn writes the items of all callers who came during the one before.

    Args:
        write: Writes items to a gallery, on the disk when it returns; as often as it is called, the
            same items leave the same gallery.
        seconds: How long a caller waits for a turn.
    """

    def __init__(self, write: Callable[[Gallery, list[Embedded]], None], seconds: float):
        self._write, self._seconds = write, seconds
        self._changed, self._is_writing = threading.Condition(), False
        self._waiting: list[_Write] = []

    def __call__(self, gallery: Gallery, items: Sequence[Embedded]):
        """Writes items; they are on the disk when this returns.

        Raises:
            InUse: If no turn came; nothing was written.
            Exception: What `write` raises for these items.
        """
        mine, end = _Write(gallery, items), time.monotonic() + self._seconds
        with self._changed:
            self._waiting.append(mine)
            while not mine.done:
                if not self._is_writing:
                    self._take_turn()
                elif mine not in self._waiting:  # It is being written.
                    self._changed.wait()
                elif not self._changed.wait(end - time.monotonic()) and mine in self._waiting:
                    self._waiting.remove(mine)
                    raise InUse("Others write all the time: try again later.")
        if mine.error:
            raise mine.error.with_traceback(None)

    def _take_turn(self):
        """Writes those that wait; others may come meanwhile."""
        joined, self._is_writing = self._next(), True
        self._changed.release()
        try:
            self._write_joined(joined)
        finally:
            self._changed.acquire()
            self._is_writing = False
            self._changed.notify_all()

    def _next(self) -> list[_Write]:
        """Those that wait, up to one of another gallery, or with an item that another has, too."""
        joined, names = [], set()
        for each in self._waiting:
            if each.gallery is not self._waiting[0].gallery or names & each.names:
                break
            joined.append(each)
            names |= each.names
        self._waiting = self._waiting[len(joined) :]
        return joined

    def _write_joined(self, joined: Sequence[_Write]):
        try:
            self._write(joined[0].gallery, [item for each in joined for item in each.items])
        except InputError as error:
            if len(joined) > 1 and not isinstance(error, InUse):
                for each in joined:  # One does not fit: the others are not to suffer from it.
                    self._write_joined([each])
                return
            self._end(joined, error)
        except BaseException as error:  # Whatever it is, nobody is to wait for ever.
            self._end(joined, error)
        else:
            self._end(joined)

    @staticmethod
    def _end(joined: Sequence[_Write], error: BaseException | None = None):
        for each in joined:
            each.done, each.error = True, error
