"""Images or texts by themselves, with the ids that name them: what is embedded or searched."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfxmodal.data.listings import pictures_in, texts_in
from tfxmodal.data.rows import is_manifest, read_rows
from tfxmodal.errors import InputError, choose
from tfxmodal.io.reporter import SILENT, Reporter

KINDS = ("images", "texts")


@dataclass(frozen=True)
class Items:
    """Images or texts.

    Attributes:
        kind: One of `KINDS`.
        ids: `[n]` unique names.
        values: `[n]` paths of the images, or the texts.
    """

    kind: str
    ids: Sequence[str]
    values: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)


def read_items(source: str | Path, kind: str | None = None, reporter: Reporter = SILENT) -> Items:
    """The pictures of a folder, the images or texts of a manifest, or the lines of a text file.

    Args:
        source: The folder (ids are the paths from there), a manifest (`.jsonl`,
            `.csv`, `.tsv` or `.json`; ids are those of `text_ids`), or a UTF-8 file of ID<TAB>TEXT
            or TEXT a line.
        kind: `images` or `texts`; by default what the source holds, of a manifest its images.
        reporter: Is told which files of a folder are passed over.

    Raises:
        InputError: If the source cannot be read or holds no items of that kind, or an id is there
            twice.
    """
    source = Path(source)
    of_manifest = is_manifest(source) and not source.is_dir()
    held = KINDS if of_manifest else KINDS[:1] if source.is_dir() else KINDS[1:]
    kind = held[0] if kind is None else kind
    choose("kind", kind, KINDS)
    if kind not in held:
        raise InputError(f"{source} holds {held[0]}; received `kind` {kind}: give another source.")
    if of_manifest:
        items = _of_manifest(source, kind)
    elif kind == "images":
        items = Items(kind, *pictures_in(source, reporter))
    else:
        items = Items(kind, *texts_in(source))
    if not items.ids:
        raise InputError(f"{source} holds no {kind}: give another source.")
    ((name, times),) = Counter(items.ids).most_common(1)
    if times > 1:
        raise InputError(f"{source} names {name!r} {times} times: give each its own id.")
    return items


def text_ids(ids: Sequence[str], texts: Sequence[Sequence[str]]) -> list[str]:
    """Ids of the single texts of pairs: the pair's where it has one, else ID#0, ID#1 and so on.

    Args:
        ids: `[n]`, the pairs'.
        texts: `[n]`, the texts of each.
    """
    return [
        str(name) if len(each) == 1 else f"{name}#{number}"
        for name, each in zip(ids, texts, strict=True)
        for number in range(len(each))
    ]


def _of_manifest(path: Path, kind: str) -> Items:
    rows = read_rows(path)
    ids, texts = [row.id for row in rows], [row.texts for row in rows]
    if kind == "images":
        return Items(kind, ids, [row.image for row in rows])
    return Items(kind, text_ids(ids, texts), [text for each in texts for text in each])
