"""What users do with a gallery: put in, find and take out pictures and texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

from tfxmodal.io.locks import locked
from tfxmodal.service import searching
from tfxmodal.service.failures import Unready, storing
from tfxmodal.service.galleries import Galleries
from tfxmodal.service.gallery import Embedded, Gallery
from tfxmodal.service.items import PICTURE, Found, Item, NewItem, Query, Told, check_columns
from tfxmodal.service.joined_writes import JoinedWrites


class Catalogue:
    """The current gallery of a service, with its pictures.

    Args:
        galleries: In the service's folder.
        write_seconds: How long a write waits for others to end.
        step: Takes the time of a step; see `observing.Metrics.step`.
    """

    def __init__(self, galleries: Galleries, write_seconds: float = 5.0, step=nullcontext):
        self.galleries, self._write_seconds, self.step = galleries, write_seconds, step
        self._put = JoinedWrites(self._written, write_seconds)

    def put(self, items: Sequence[NewItem]) -> Told:
        """Adds items, and replaces those of the same ids; on the disk when this returns.

        After a failure each item may be as it was or as it was given, and one that changes its kind
        may be there as both: whoever puts it once more mends that.

        Raises:
            InputError: If metadata do not fit their columns, or bring too many. Of one item nothing
                is changed.
            ServerError: If the model server does not answer; likewise.
            InUse: If others write all the time. Nothing is changed.
            StoreFailed: If they cannot be written.
        """
        gallery = self.galleries.current()
        gallery.check()
        with self.step("embed"), storing():
            embedded, told = gallery.embed(items)
        if embedded:
            with self.step("write"):
                self._put(gallery, embedded)
        return told

    def _written(self, gallery: Gallery, embedded: Sequence[Embedded]):
        with self._writing(gallery):
            check_columns(gallery.columns, [each.item for each in embedded])
            before = gallery.get([each.item.id for each in embedded])
            gallery.write(embedded)
            # Of a picture that an item has now nobody needs to look through the gallery.
            kept = {each.item.columns.get(PICTURE) for each in embedded}
            self.tidy(gallery, {item.picture for item in before} - kept)

    def delete(self, name: str) -> bool:
        """Takes an item out, with its picture; gives whether it was there.

        Raises:
            InUse: If others write all the time; nothing is changed.
            StoreFailed: If it cannot be written; it may be there or not.
        """
        gallery = self.galleries.current()
        with self.step("write"), self._writing(gallery):
            before = gallery.get([name])
            gallery.delete([name])
            self.tidy(gallery, [item.picture for item in before])
        return bool(before)

    def get(self, name: str) -> Item | None:
        """An item by its id."""
        with storing():
            return next(iter(self.galleries.current().get([name])), None)

    def picture(self, name: str, small: bool) -> tuple[bytes, str] | None:
        """The picture of an item, or its small copy, and its media type; None without one."""
        seen = None
        while (item := self.get(name)) and item.picture and item.picture != seen:
            seen = item.picture
            with storing(), suppress(FileNotFoundError):  # It may have been replaced meanwhile.
                return self.galleries.pictures.read(seen, small)
        return None

    def some(self, kind: str, most: int) -> list[Item]:
        """Some items, from all over the gallery."""
        with storing():
            return self.galleries.current().some(kind, most)

    def sizes(self) -> dict[str, int]:
        """How many items there are of each kind."""
        with storing():
            return self.galleries.current().sizes()

    def search(self, query: Query) -> Found:
        """What a query finds.

        Raises:
            InputError: If nothing is asked, the model can make nothing of it, or the condition
                does not fit the metadata.
            ServerError: If the model server does not answer.
            StoreFailed: If the store cannot be read.
        """
        gallery = self.galleries.current()
        # By an item that is there a dot product asks no model.
        if query.text or query.picture is not None or not gallery.probe.is_dot_product:
            gallery.check(surely=False)
        with self.step("embed"), storing():
            asked = searching.embed(gallery, query)
        with self.step("search"), storing():
            return searching.search(gallery, asked, query)

    @contextmanager
    def _writing(self, gallery: Gallery) -> Iterator[None]:
        """Lets no other service write, nor another gallery become the current one."""
        with storing(), locked(self.galleries.lock, self._write_seconds):
            if self.galleries.current_name() != gallery.name:
                raise Unready("Another gallery has become the current one: send it again.")
            yield

    def strays(self) -> set[str]:
        """The pictures that no item names, as a write that failed or was killed leaves them."""
        with storing():
            return self.galleries.pictures.names() - self.galleries.current().pictures()

    def tidy(self, gallery: Gallery, pictures: Iterable[str | None]):
        """Removes those of some pictures that no item has.

        Args:
            gallery: The current one. Nobody else may write meanwhile.
            pictures: Their names.
        """
        for name in pictures:
            if name and not gallery.has_picture(name):
                self.galleries.pictures.remove(name)
