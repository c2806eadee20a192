"""Many items at once: those of a folder or a manifest, or a gallery for another model version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from types import MappingProxyType

from tfxmodal.data.items import read_items
from tfxmodal.data.metadata import metadata_of
from tfxmodal.data.rows import is_manifest, is_table, read_rows
from tfxmodal.errors import InputError, first_line, some_of
from tfxmodal.io.locks import locked
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.failures import Unready, storing
from tfxmodal.service.galleries import PATIENCE
from tfxmodal.service.gallery import Gallery
from tfxmodal.service.items import Item, NewItem, Told
from tfxmodal.service.pictures import Pictures

BATCH = 64
"""Items written at once."""

MOST_BAD = 0.01
"""Share of the items that a gallery may lose when it is embedded again and nobody allowed more."""

MISSING = "its picture is missing"


def fill(
    catalogue: Catalogue, source: Path, split: str | None = None, reporter: Reporter = SILENT
) -> Told:
    """Puts in what a source holds; what is there unchanged is passed over.

    At the end the gallery is arranged for fast searches, and pictures that no item names, as writes
    that failed leave them, are removed.

    Args:
        catalogue: Where to.
        source: A folder of pictures, a file of texts or a manifest. Of a manifest, a picture has
            its first text as caption, and each text is an item as well, named ID#0, ID#1 and so on.
            Of an id that is a path, `/` at its start and the parts `.` and `..` are left out.
        split: Of a manifest, the rows of this split alone.
        reporter: Is told of the progress.

    Raises:
        InputError: If the source cannot be read, or has no splits and one is given.
        ServerError: If the model server does not answer.
        StoreFailed: If the gallery cannot be written.
    """
    of_manifest = is_manifest(source) and not source.is_dir()
    if split is not None and not of_manifest:
        raise InputError(f"`split` {split} is of a manifest, and {source} is none: leave it out.")
    drafts = _of_manifest(source, split) if of_manifest else _of_items(source, reporter)
    told = Told()
    for start in reporter.bar(range(0, len(drafts), BATCH), desc="items"):
        items = []
        for name, draft in drafts[start : start + BATCH]:
            try:
                items.append(draft())
            except (InputError, OSError) as error:
                told.bad[name] = first_line(error)
        told.add(catalogue.put(items))
    # Even if nothing was written: what came by single writes has not been put in order yet.
    put_in_order(catalogue)
    return told


def put_in_order(catalogue: Catalogue):
    """Arranges what was written for fast searches, and removes pictures that no item names.

    Raises:
        StoreFailed: If the gallery cannot be written.
    """
    strays = catalogue.strays()
    with storing(), locked(catalogue.galleries.lock, PATIENCE):
        gallery = catalogue.galleries.current()
        gallery.optimize()
        catalogue.tidy(gallery, strays)


def reembed(
    catalogue: Catalogue, target: Gallery, reporter: Reporter = SILENT, allow_bad: bool = False
) -> Told:
    """Brings a gallery up to date with the current one, and makes it the current one.

    Users search and write the current one meanwhile. What they wrote is taken over until little is
    left; then writes are told to come again for a moment, in which the rest is taken over. The
    current one's model need not be on the server.

    Items that the target's model cannot embed stay where they are, and the target remembers that
    they were left out: so nothing is lost by going back.

    Args:
        catalogue: Of the current gallery.
        target: A gallery of another version of the model; what it has already is kept.
        reporter: Is told of the progress.
        allow_bad: Whether it becomes the current one also when it would lack more than `MOST_BAD`
            of the items, or the picture of any is missing.

    Raises:
        InputError: If a version of the model is not on the server, or too many items are bad.
        Unready: If another gallery has become the current one meanwhile.
        ServerError: If the model server does not answer.
        StoreFailed: If the gallery cannot be written.
    """
    galleries = catalogue.galleries
    source = galleries.open(galleries.current_name())
    target.check()
    told, refused = Told(), {}
    for number in count(1):
        before = told.written
        for part in reporter.bar(source.parts(), desc=f"pass {number}"):
            told.add(_taken_over(part, galleries.pictures, target, refused))
        if told.written - before <= BATCH:
            break
    target.optimize()
    with storing(), locked(galleries.lock, PATIENCE):
        if galleries.current_name() != source.name:
            raise Unready("Another gallery has become the current one: give the command again.")
        told.bad, left_out = {}, source.left_out
        kept, total = {*left_out}, 0
        for part in source.parts():
            of_part = _taken_over(part, galleries.pictures, target, refused)
            told.add(of_part)
            kept |= {item.id for item in part}
            total += len(part)
            left_out |= {item.id: item.picture for item in part if item.id in of_part.bad}
        if not allow_bad:
            _check_bad(told.bad, total, target)
        kept -= told.bad.keys()
        for part in target.parts():
            gone = {item.id for item in part} - kept
            target.delete([*gone])
            told.deleted += len(gone)
        there = {item.id for item in target.get([*left_out])}
        target.leave_out({name: left_out[name] for name in left_out.keys() - there})
        galleries.switch(target.name)
    return told


def _check_bad(bad: Mapping[str, str], total: int, target: Gallery):
    """Refuses a target that lacks too many of `total` items, or any whose picture is missing."""
    if len(bad) > MOST_BAD * total or MISSING in bad.values():
        reasons = [f"{name!r} ({reason})" for name, reason in bad.items()]
        raise InputError(
            f"The gallery {target.name} would lack {len(bad):,} of {total:,} items: "
            f"{some_of(reasons)}. The one that is searched stays: mend or delete them, or give "
            "`allow_bad`."
        )


def _taken_over(
    items: Sequence[Item],
    pictures: Pictures,
    target: Gallery,
    refused: dict[str, tuple[Item, str]],
) -> Told:
    """Embeds those of some items that the target has not, or has otherwise.

    Args:
        items: Of the current gallery.
        pictures: Theirs.
        target: Where to.
        refused: By id what the model cannot embed, and why: it is added to, and not tried again.
    """
    there = target.whole([item.id for item in items])
    told, changed = Told(), []
    for item in items:
        if there.get(item.id) == item:
            continue
        known, reason = refused.get(item.id, (None, ""))
        if known == item:
            told.bad[item.id] = reason
            continue
        try:
            picture = pictures.read(item.picture)[0] if item.picture else None
        except FileNotFoundError:  # Or the item was deleted meanwhile: the last pass will tell.
            told.bad[item.id] = MISSING
            continue
        changed.append((item, NewItem(item.id, picture, item.caption, item.metadata)))
    for start in range(0, len(changed), BATCH):
        some = changed[start : start + BATCH]
        embedded, of_part = target.embed([new for _, new in some])
        target.write(embedded)
        told.add(of_part)
        bad = of_part.bad
        refused |= {item.id: (item, bad[item.id]) for item, _ in some if item.id in bad}
    return told


Drafts = Sequence[tuple[str, Callable[[], NewItem]]]
"""Ids, and what reads their items: pictures are read when their turn comes."""


def _of_items(source: Path, reporter: Reporter) -> Drafts:
    items = read_items(source, reporter=reporter)
    of = _picture if items.kind == "images" else _text
    pairs = zip(items.ids, items.values, strict=True)
    return [(name, partial(of, name, value)) for name, value in pairs]


def _of_manifest(path: Path, split: str | None) -> Drafts:
    rows = [row for row in read_rows(path) if split in (None, row.split)]
    columns = metadata_of(rows, is_table(path))
    found, known = [], {}
    for number, row in enumerate(rows):
        given, name = row.id, _as_id(row.id)
        if row.image.endswith(name):  # Else it is an id of the user's own.
            row.id = name
        if known.setdefault(row.id, given) != given:
            raise InputError(
                f"{path} names {known[row.id]!r} and {given!r}, which both would be the item "
                f"{row.id!r}: give each row an `id`."
            )
        metadata = {name: values[number] for name, values in columns.items()}
        caption = row.texts[0] if row.texts else ""
        found.append((row.id, partial(_picture, row.id, row.image, caption, metadata)))
        for which, text in enumerate(row.texts):
            name = f"{row.id}#{which}"
            found.append((name, partial(_text, name, text, metadata)))
    if not found:
        raise InputError(f"{path} holds no rows of `split` {split}: leave it out.")
    return found


def _as_id(path: str) -> str:
    """What names an item, of a path to its picture, which may be an absolute one."""
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def _picture(name: str, path: str, caption: str = "", metadata: Mapping = MappingProxyType({})):
    return NewItem(name, Path(path).read_bytes(), caption, metadata)


def _text(name: str, text: str, metadata: Mapping = MappingProxyType({})):
    return NewItem(name, None, text, metadata)
