"""Makes an index of images or texts, to be searched by the other, with a trained run.

The gallery is a folder of pictures, a file of texts, a manifest or a split of a run's dataset. An
index opens with the run that made it, and can be added to. With a query the best items are printed.

Examples:
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --data my/photos
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --data more/photos --add
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --text "two dogs"
  python trainers/build_index.py --run runs/drsl-coco --to index/texts --data train --gallery texts
  python trainers/build_index.py --run runs/drsl-coco --to index/texts --image photo.jpg
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.markup import escape
from rich.table import Column, Table

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal, show
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import HANDLING, PLACE
from tfxmodal.io.atomic import recover_folder
from tfxmodal.io.locks import held, lock_beside

GALLERIES = ("texts", "images")
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
    UTF-8 file of texts (one a line, ID<TAB>TEXT, or TEXT, which then is its own id), or another
    run's folder (its test split)."""

    add: bool = False
    """Add it to the index that is there."""

    gallery: Literal[*GALLERIES] | None = None
    """What a new index holds, by default images; the other is what it is searched by."""

    kind: Literal[*KINDS] | None = None
    """How a new index searches vectors: all of them exactly (flat), by their four-bit codes (scan),
    or, by default, by the gallery's size (auto: flat up to 100,000 items, then scan)."""

    landmarks: int | None = None
    """Training items whose relation scores are an item's vector in a new index, by default 256
    (DRSL; more find more)."""

    rescore: float | None = None
    """Share of the gallery that a new index scores exactly for each query, by default 0.005 (DRSL;
    1 is an exact search)."""

    image: Path | None = None
    """A picture whose best texts are printed."""

    text: str | None = None
    """A text whose best images are printed."""

    top_k: int = 10
    """How many."""

    data_dir: Path | None = None
    """Where the run's own dataset is now, for a gallery of it and for landmarks; by default as in
    training."""

    dataset_options: tuple[str, ...] | None = None
    """Options of the run's own dataset, in place of those of the training."""

    download: bool | None = None
    """Fetch the run's own dataset, COCO, from its official host (20.4 GB), or go on with it."""

    image_weights: str | None = None
    """Weights of the run's image encoder, by default as in training; for a file that has moved."""

    on_bad_image: Literal["refuse", "skip"] | None = None
    """What to do when images cannot be read: end with a list, or leave them out; by default as in
    training."""

    engine: Literal["auto", "tensorflow", "openvino"] | None = None
    """What runs the image encoder where features are computed; by default as in training."""

    cache_dir: Path | None = None
    """Where features are kept, so that they are computed once; by default as in training."""


def main(argv: list[str] | None = None):
    """Builds, adds or queries as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    alone = held(lock_beside(flags.to), f"`to` {flags.to}")
    with nullcontext() if flags.data is None else alone:
        work(flags)


def work(flags: Flags):
    """Builds, adds or queries, where no other process writes the index."""
    recover_folder(flags.to)
    there = (flags.to / "index.json").exists()
    check(flags, there)

    from tfxmodal.search.run_index import QUERIES, RunIndex
    from tfxmodal.training.trained_run import load_run

    run, reporter = load_run(flags.run), Terminal()
    data = run.settings.data.with_given(flags, (*PLACE, *HANDLING))

    # --- The index that is there, and a query that fits the gallery ----------------------------
    if there:
        index = RunIndex.open(flags.to, run, data, reporter)
    gallery = index.index.gallery if there else flags.gallery or "images"
    right = QUERIES[gallery]
    (wrong,) = set(QUERIES.values()) - {right}
    if getattr(flags, wrong) is not None:
        raise InputError(f"`to` {flags.to} is an index of {gallery}: search it by `{right}`.")
    query = None
    if flags.text is not None:
        query = run.embed_texts([flags.text])
    if flags.image is not None:
        query = run.embed_images([flags.image], data.image_weights)

    # --- Its items, in a new index where there is none -----------------------------------------
    if flags.data is not None:
        if not there:
            options = {"gallery": gallery} | given_options(flags)
            index = RunIndex.new(run, data=data, reporter=reporter, **options)
        index.add(flags.data)
        index.save(flags.to)
        how = "exact" if index.index.is_exact else "approximate, best candidates scored exactly"
        print(f"{flags.to} holds {len(index):,} {gallery} ({how}).")

    # --- What is found -------------------------------------------------------------------------
    if query is not None:
        print_found(*index.index.search(query, flags.top_k))
    else:
        asked = "--image FILE" if gallery == "texts" else "--text TEXT"
        print(f"Search it: trainers/build_index.py --run {flags.run} --to {flags.to} {asked}")


def check(flags: Flags, there: bool):
    """Checks that the flags go together and with an index that is there or not.

    Raises:
        InputError: If they do not.
    """
    queries = [query for query in (flags.image, flags.text) if query is not None]
    if len(queries) > 1:
        raise InputError("--image and --text are both given: give one of them.")
    if flags.data is None and (flags.add or not queries):
        raise InputError("Nothing is asked: give --data or, without --add, --image or --text.")
    if flags.top_k < 1:
        raise InputError(f"--top-k must be at least 1; received {flags.top_k}.")
    if there and flags.data is not None and not flags.add:
        raise InputError(f"--to {flags.to} holds an index already: give --add or another folder.")
    if not there and (flags.data is None or flags.add):
        raise InputError(
            f"--to {flags.to} holds no index: correct it, or make one there by --data without "
            "--add."
        )
    if there and (given := given_options(flags)):
        raise InputError(
            f"--{', --'.join(given)} can be chosen for a new index alone, and --to {flags.to} is "
            "there: leave that out."
        )


def given_options(flags: Flags) -> dict:
    """What the user chose of a new index."""
    options = {name: getattr(flags, name) for name in ("gallery", "kind", "landmarks", "rescore")}
    return {name: value for name, value in options.items() if value is not None}


def print_found(ids: np.ndarray, scores: np.ndarray):
    """A table of what one query found."""
    table = Table("", "score", Column("id", overflow="fold"))
    for rank, (name, score) in enumerate(zip(ids[0], scores[0], strict=True), start=1):
        table.add_row(str(rank), f"{score:.4f}", escape(str(name)))
    show(table)
