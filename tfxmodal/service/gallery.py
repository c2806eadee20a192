"""Items embedded by one version of a model: an index of images, one of texts, their pictures."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from grpc import StatusCode

from tfxmodal.data.items import KINDS
from tfxmodal.encoders.image.with_pillow import UnreadPicture
from tfxmodal.errors import InputError
from tfxmodal.evaluation.calibration import Calibration
from tfxmodal.io.atomic import sync_changes, whole_file
from tfxmodal.io.reading import read_json
from tfxmodal.search.index import Index
from tfxmodal.search.stores import StoredItems, open_store
from tfxmodal.search.stores.where import Compare
from tfxmodal.service.failures import Unready
from tfxmodal.service.items import OWN, PICTURE, Item, NewItem, Told
from tfxmodal.service.pictures import Pictures, small_copy
from tfxmodal.service.served_model import Probe, ServedModel
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.refusals import ServerError

ABOUT = "about.json"
"""What a gallery is of: written last, when the gallery is whole."""

LEFT_OUT = "left_out.json"
"""Items that another gallery holds and this one's model cannot embed: by id their picture."""

CLOCK = 2.0
"""Seconds by which the clock of a file system may differ."""

CHECKED, FAILED = 30.0, 1.0
"""Seconds after which it is looked at again whether the server's model is still the gallery's."""

PASSING = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}
"""Answers that tell nothing of the model."""

SILENT = PASSING - {StatusCode.RESOURCE_EXHAUSTED}
"""Those of a server that may not answer the next call either."""


@dataclass(frozen=True)
class Embedded:
    """A new item as it is written: with its embedding `[d]`, and its picture's small copy."""

    item: NewItem
    embedding: np.ndarray
    small: bytes


class Gallery:
    """Opens a gallery.

    Args:
        folder: The gallery's; its name is the gallery's.
        client: Asks the model server, whichever version.
        pictures: Where the items' pictures are.

    Attributes:
        name: The gallery's.
        model: The version of the model that embedded it.
        probe: What tells that model from others.
        indexes: By kind.
        calibration: Of the model's scores; None where the export told none.

    Raises:
        Unready: If it is not whole.
    """

    def __init__(self, folder: Path, client: Client, pictures: Pictures):
        self.name, self._folder, self._pictures = folder.name, folder, pictures
        try:
            about = read_json(folder / ABOUT)
            self.probe = Probe(**about["probe"])
            self.model = ServedModel(client, about["version"])
            scorer = self.model.scorer(self.probe.is_dot_product)
            fingerprint, calibration = about["fingerprint"], about.get("calibration")
            self.calibration = calibration and Calibration(**calibration)
            self.indexes = {
                kind: Index(scorer, open_store(folder / kind, fingerprint)) for kind in KINDS
            }
        except (InputError, KeyError, TypeError) as error:
            raise Unready(f"The gallery {folder} cannot be opened ({error}).") from error
        self._checking = threading.Lock()
        self._look_again, self._is_known = 0.0, False
        self._fault: InputError | None = None
        self._doubt: ServerError | None = None

    def check(self, surely: bool = True):
        """Checks, now and then, that the server's model is the one that made the gallery.

        Args:
            surely: Whether to wait for a look that is under way, and to count it as a fault when
                the server is too busy to tell. Else the last thing that is known holds meanwhile.

        Raises:
            Unready: If it is not.
            ServerError: If the model server does not answer.
        """
        surely, looked = surely or not self._is_known, False
        if time.monotonic() >= self._look_again and self._checking.acquire(blocking=surely):
            try:
                if time.monotonic() >= self._look_again:  # Nobody else has looked meanwhile.
                    looked = True
                    self._look()
            finally:
                self._checking.release()
        # Who has just waited for the server in vain need not wait once more.
        doubted = surely or (looked and self._doubt and self._doubt.code in SILENT)
        if fault := self._fault or (self._doubt if doubted else None):
            raise fault.with_traceback(None)

    def _look(self):
        """Looks at the server's model, and notes what is wrong with it or why that is not known."""
        found = self._found_fault()
        self._doubt = found if isinstance(found, ServerError) and found.code in PASSING else None
        if self._doubt is None:
            self._fault, self._is_known = found, True
        self._look_again = time.monotonic() + (FAILED if found else CHECKED)

    def _found_fault(self) -> InputError | None:
        try:
            if self.probe.is_of(self.model.probe()):
                return None
        except InputError as error:
            return error
        return Unready(
            f"Version {self.model.version} of {self.model.name!r} on the server is not the model "
            f"that made the gallery {self.name!r}: serve that one, or give the new one a number of "
            "its own, and go over to it by export/search_service.py reembed."
        )

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A block that asks the model; where the server fails, it is checked again afterwards."""
        try:
            yield
        except ServerError:
            self._look_again = 0.0
            raise

    # === Items =================================================================================

    def sizes(self) -> dict[str, int]:
        """How many items there are of each kind."""
        return {kind: len(index) for kind, index in self.indexes.items()}

    @property
    def columns(self) -> dict[str, str]:
        """The metadata columns that a condition may name: `text`, `number` or `boolean`."""
        columns = {n: c for index in self.indexes.values() for n, c in index.store.columns.items()}
        return {name: kind for name, kind in sorted(columns.items()) if name not in OWN}

    def pictures(self) -> set[str]:
        """Names of the pictures of all items, and of those that were left out."""
        images = self.indexes["images"].store.items()
        kept = {name for part in images for name in part.metadata.get(PICTURE, [])}
        return {name for name in kept.union(self.left_out.values()) if name}

    def has_picture(self, name: str) -> bool:
        """Whether an item has the picture of this name, or one that was left out."""
        store = self.indexes["images"].store
        there = PICTURE in store.columns and store.count(Compare(PICTURE, "=", name)) > 0
        return there or name in self.left_out.values()

    def get(self, names: Sequence[str]) -> list[Item]:
        """The items of these ids, as far as they are there."""
        return [
            item
            for kind, index in self.indexes.items()
            for item in items_of(kind, index.store.get(names))
        ]

    def whole(self, names: Sequence[str]) -> dict[str, Item]:
        """By id the items that are there as one kind alone.

        A write that was killed may leave an item of both kinds: it is to be written again.
        """
        found = self.get(names)
        kinds = Counter(item.id for item in found)
        return {item.id: item for item in found if kinds[item.id] == 1}

    @property
    def left_out(self) -> dict[str, str | None]:
        """Items that were to be taken over from another gallery and could not be embedded.

        Who goes back to that gallery keeps them there. By id the name of their picture.
        """
        path = self._folder / LEFT_OUT
        return read_json(path) if path.exists() else {}

    def leave_out(self, items: Mapping[str, str | None]):
        """Sets `left_out`, on the disk when this returns. Nobody else may write meanwhile."""
        if items != self.left_out:
            with whole_file(self._folder / LEFT_OUT) as file:
                file.write(json.dumps(items).encode())

    def some(self, kind: str, most: int) -> list[Item]:
        """Some items, from all over the gallery."""
        store = self.indexes[kind].store
        return items_of(kind, store.get(store.some(most)))

    def parts(self) -> Iterator[list[Item]]:
        """All items, in batches."""
        for kind, index in self.indexes.items():
            for part in index.store.items():
                yield items_of(kind, part)

    def embed(self, items: Sequence[NewItem]) -> tuple[list[Embedded], Told]:
        """Embeds new items; those that are there unchanged are passed over, and bad ones told.

        Raises:
            ServerError: If the model server does not answer.
        """
        there = self.whole([item.id for item in items])
        changed = [item for item in items if not item.is_as(there.get(item.id))]
        told, embedded = Told(unchanged=len(items) - len(changed)), []
        for kind in KINDS:
            some, small = [], []
            for item in changed:
                if item.kind == kind:
                    try:
                        small.append(self._small(item))
                        some.append(item)
                    except UnreadPicture as error:
                        told.bad[item.id] = f"it is no picture that can be read ({error})"
            with self.asking():
                rows, reasons = self.model.embed_all(kind, [item.content for item in some])
            for row, item in enumerate(some):
                if row in reasons:
                    told.bad[item.id] = reasons[row]
                else:
                    embedded.append(Embedded(item, rows[row], small[row]))
        told.written = len(embedded)
        return embedded, told

    def _small(self, item: NewItem) -> bytes:
        """The small copy of an item's picture; none is made where it is there."""
        if item.picture is None or item.columns[PICTURE] in self._pictures:
            return b""
        return small_copy(item.picture)

    def write(self, embedded: Sequence[Embedded]):
        """Writes items, in place of those of the same ids, whichever kind they were.

        On the disk when it returns. Nobody else may write meanwhile.
        """
        with self._synced():
            self._put(embedded)

    def _put(self, embedded: Sequence[Embedded]):
        for kind, index in self.indexes.items():
            items = [each for each in embedded if each.item.kind == kind]
            if not items:
                continue
            for each in items:
                self._keep_picture(each)
            names = {*index.store.columns, *(name for each in items for name in each.item.columns)}
            columns = {n: [each.item.columns.get(n) for each in items] for n in sorted(names)}
            ids = [each.item.id for each in items]
            index.add(ids, np.stack([each.embedding for each in items]), metadata=columns)
            (other,) = set(KINDS) - {kind}
            self.indexes[other].delete(ids)
            self._take_in(ids)

    def delete(self, names: Sequence[str]):
        """Takes items out. Nobody else may write meanwhile."""
        with self._synced():
            for index in self.indexes.values():
                index.delete(names)
            self._take_in(names)

    def _take_in(self, names: Sequence[str]):
        """Items that are written or deleted here are no longer left out."""
        if left_out := self.left_out:
            self.leave_out({name: left_out[name] for name in left_out.keys() - {*names}})

    def optimize(self):
        """Arranges what was written for fast searches. Nobody else may write meanwhile."""
        with self._synced():
            for index in self.indexes.values():
                index.store.optimize()

    @contextmanager
    def _synced(self) -> Iterator[None]:
        """A block after which what it wrote is on the disk; stores leave that to the system."""
        since = time.time() - CLOCK
        yield
        sync_changes(self._folder, since)

    def _keep_picture(self, each: Embedded):
        picture = each.item.picture
        if picture is not None and each.item.columns[PICTURE] not in self._pictures:
            # It may have been there a moment ago, of an item that was deleted.
            self._pictures.put(picture, each.small or small_copy(picture))


def items_of(kind: str, stored: StoredItems) -> list[Item]:
    """Items of a store without their vectors."""
    columns = stored.metadata.items()
    return [
        Item(name, kind, {n: values[row] for n, values in columns if values[row] is not None})
        for row, name in enumerate(stored.ids)
    ]
