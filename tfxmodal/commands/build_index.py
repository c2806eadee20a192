"""Makes an index of images or texts, and searches it with a trained run.

The gallery is a folder of pictures, a file of texts, a manifest or a split of a run's dataset. An
index opens with the run that made it, and can be added to: what is there unchanged is passed over,
what changed is replaced. With a query the best items are printed. Columns of a manifest that are
no images, texts or labels are metadata, by which a search can be filtered.

Examples:
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --data my/photos
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --data more/photos --add
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --delete a.jpg b.jpg
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --text "two dogs"
  python trainers/build_index.py --run runs/scl --to index/mine --text dog --where "year > 2020"
  python trainers/build_index.py --run runs/scl --to index/mine --text dog --min-probability .5
  python trainers/build_index.py --run runs/scl --to index/mine --image like_this.jpg
  python trainers/build_index.py --run runs/drsl-coco --to index/texts --data train --gallery texts
  python trainers/build_index.py --run runs/drsl-coco --to index/texts --image photo.jpg
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from rich.markup import escape
from rich.table import Column, Table

from tfxmodal.commands import cli
from tfxmodal.commands.run_data import OwnData
from tfxmodal.commands.terminal import Terminal, show
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import HANDLING, PLACE
from tfxmodal.io.atomic import recover_folder
from tfxmodal.io.locks import held, lock_beside

GALLERIES = ("texts", "images")
STORES = ("faiss", "lancedb", "qdrant")
KINDS = ("auto", "flat", "scan")


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/drsl-coco."""

    to: Path
    """Folder of the index: a new one or, with --add or without --data, one that is there."""

    data: str | None = None
    """What goes in: test, validation or train (that split of the run's dataset), a folder of
    pictures with the folders in it (their paths are the ids), a manifest of pairs (.jsonl, .csv), a
    UTF-8 file of texts (one a line, ID<TAB>TEXT, or TEXT, which then is its own id), another run's
    folder (its test split), or a folder of vectors by export/embed_corpus.py."""

    add: bool = False
    """Add it to the index that is there, and replace what is there with other content."""

    delete: tuple[str, ...] = ()
    """Ids of items to remove from the index that is there."""

    gallery: Literal[*GALLERIES] | None = None
    """What a new index holds, by default images. A text or an image searches it; of a run whose
    score is no dot product of embeddings (DRSL) the other kind alone."""

    store: Literal[*STORES] | None = None
    """Where a new index keeps its items: faiss (by default: in memory, fastest; each change writes
    the whole index again), lancedb (on disk, for galleries that change or do not fit into memory;
    pip install '.[lancedb]') or qdrant (a server; pip install '.[qdrant]')."""

    url: str | None = None
    """Address of the store of a new index, where it is not the folder: of a Qdrant server
    (http://HOST:6333/COLLECTION), or of a folder or bucket for LanceDB (s3://BUCKET/PATH)."""

    kind: Literal[*KINDS] | None = None
    """How FAISS searches vectors in a new index: all of them exactly (flat), by their codes (scan),
    or, by default, by the gallery's size (auto: flat up to 100,000 items, then scan)."""

    landmarks: int | None = None
    """Training items whose relation scores are an item's vector in a new index, by default 256
    (DRSL; more find more)."""

    rescore: float | None = None
    """Share of the gallery that a new index scores exactly for each query, by default 0.005 (DRSL;
    1 is an exact search)."""

    image: Path | None = None
    """A picture whose best items are printed."""

    text: str | None = None
    """A text whose best items are printed."""

    top_k: int | None = None
    """How many at most, by default 10."""

    where: str | None = None
    """A condition on metadata that they must fulfil, as in "year > 2020 and album = 'beach'", of =,
    !=, <, <=, >, >=, in (...), is null, and, or, not and parentheses."""

    min_score: float | None = None
    """Their least score."""

    min_probability: float | None = None
    """The least probability that query and item belong together, as the run's validation split
    tells it."""

    own: OwnData = field(default_factory=OwnData)


def main(argv: list[str] | None = None):
    """Builds, adds or queries as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    alone = held(lock_beside(flags.to), f"`to` {flags.to}")
    with alone if flags.data is not None or flags.delete else nullcontext():
        work(flags)


def work(flags: Flags):
    """Builds, adds, deletes or queries, where no other process writes the index."""
    recover_folder(flags.to)
    there = (flags.to / "index.json").exists()
    check(flags, there)

    from tfxmodal.search.run_index import RunIndex
    from tfxmodal.training.trained_run import load_run

    run, reporter = load_run(flags.run), Terminal()
    data = run.settings.data.with_given(flags.own, (*PLACE, *HANDLING))

    # --- The index, which is written with its first items, and a query that fits it ------------
    if there:
        index = RunIndex.open(flags.to, run, data, reporter)
    else:
        options = given_options(flags)
        index = RunIndex.new(run, data=data, reporter=reporter, folder=flags.to, **options)
    by = "text" if flags.text is not None else "image" if flags.image is not None else None
    query = None if by is None else index.embed([getattr(flags, by)], by)
    least = -np.inf if flags.min_score is None else flags.min_score
    least = index.least_score(by, least, flags.min_probability)

    # --- Its items -----------------------------------------------------------------------------
    if flags.delete:
        deleted = index.delete(flags.delete)
        print(f"{deleted:,} of {len(set(flags.delete)):,} items were there and are deleted.")
    if flags.data is not None:
        changes = index.add(flags.data)
        index.index.store.optimize()
        print(
            f"{changes.added:,} added, {changes.replaced:,} replaced, {changes.unchanged:,} there "
            "unchanged."
        )
    if flags.delete or flags.data is not None:
        os.sync()  # Stores leave it to the system when their files reach the disk.
        how = "exact" if index.index.is_exact else "approximate, best candidates scored exactly"
        print(f"{flags.to} holds {len(index):,} {index.index.gallery} ({how}).")

    # --- What is found -------------------------------------------------------------------------
    if query is not None:
        ids, scores = index.index.search(query, flags.top_k or 10, flags.where, least)
        print_found(ids, scores)
    else:
        asked = "--image FILE" if index.index.gallery == "texts" else "--text TEXT"
        print(f"Search it: trainers/build_index.py --run {flags.run} --to {flags.to} {asked}")


def check(flags: Flags, there: bool):
    """Checks that the flags go together and with an index that is there or not.

    Raises:
        InputError: If they do not.
    """
    queries = [query for query in (flags.image, flags.text) if query is not None]
    if len(queries) > 1:
        raise InputError("--image and --text are both given: give one of them.")
    changed = flags.data is not None or flags.delete
    if not changed and (flags.add or not queries):
        raise InputError(
            "Nothing is asked: give --data, --delete or, without --add, --image or --text."
        )
    if flags.top_k is not None and flags.top_k < 1:
        raise InputError(f"--top-k must be at least 1; received {flags.top_k}.")
    limits = given(flags, ("top_k", "where", "min_score", "min_probability"))
    if limits and not queries:
        named = ", ".join(f"`{name}`" for name in limits)
        raise InputError(f"{named} limits a search: give --image or --text.")
    if there and flags.data is not None and not flags.add:
        raise InputError(f"--to {flags.to} holds an index already: give --add or another folder.")
    if not there and (flags.data is None or flags.add or flags.delete):
        raise InputError(
            f"--to {flags.to} holds no index: correct it, or make one there by --data without "
            "--add."
        )
    if there and (options := given_options(flags)):
        raise InputError(
            f"--{', --'.join(options)} can be chosen for a new index alone, and --to {flags.to} is "
            "there: leave that out."
        )


def given_options(flags: Flags) -> dict:
    """What the user chose of a new index."""
    return given(flags, ("gallery", "store", "url", "kind", "landmarks", "rescore"))


def given(flags: Flags, names: tuple[str, ...]) -> dict:
    """Those of some flags that the user gave."""
    values = {name: getattr(flags, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def print_found(ids: np.ndarray, scores: np.ndarray):
    """A table of what one query found."""
    if not ids.size:
        print("Nothing is found.")
        return
    table = Table("", "score", Column("id", overflow="fold"))
    for rank, (name, score) in enumerate(zip(ids[0], scores[0], strict=True), start=1):
        table.add_row(str(rank), f"{score:.4f}", escape(str(name)))
    show(table)
