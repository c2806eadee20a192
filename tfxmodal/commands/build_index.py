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

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from tfxmodal.commands import cli
from tfxmodal.commands.evaluate import with_given
from tfxmodal.data.pairs import fingerprint
from tfxmodal.encoders.image.image_encoder import hash_weights
from tfxmodal.encoders.image.pictures import BadImage, load_images
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import HANDLING, DataConfig
from tfxmodal.inputs.prepare import prepare
from tfxmodal.io.atomic import recover_folder
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.search.galleries import embed, items_of, known_texts
from tfxmodal.search.index import GALLERIES, Index
from tfxmodal.search.nearest import KINDS
from tfxmodal.search.new_index import build_index
from tfxmodal.training.run_folder import from_dict
from tfxmodal.training.trained_run import TrainedRun, load_run


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

    anchors: int | None = None
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
    """Where the run's own dataset is now, for a gallery of it and for anchors; by default as in
    training."""

    image_weights: str | None = None
    """Weights of the run's image tower, by default as in training; for a file that has moved."""

    on_bad_image: Literal["refuse", "skip"] | None = None
    """What to do when images cannot be read: end with a list, or leave them out; by default as in
    training."""

    cache_dir: Path | None = None
    """Where features are kept, so that they are computed once; by default as in training."""


def main(argv: list[str] | None = None):
    """Builds, adds or queries as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    recover_folder(flags.to)
    there = (flags.to / "index.json").exists()
    check(flags, there)
    run = load_run(flags.run)
    data = from_dict(DataConfig, run.config["data"])
    data = with_given(data, flags, ("data_dir", *HANDLING))
    scorer = run.method.scorer()

    # --- The index that is there, and a query that fits the gallery ----------------------------
    index = Index.load(flags.to, scorer, model_fingerprint(run)) if there else None
    gallery = index.gallery if there else flags.gallery or "images"
    query = embed_query(flags, run, scorer, gallery)

    # --- Its items, in a new index where there is none -----------------------------------------
    if flags.data is not None:
        items = items_of(flags.data, run, data, gallery)[gallery]
        items = embed(items, gallery, run, scorer)
        index = index if there else new_index(flags, run, data, scorer, gallery)
        index.add(items.ids, items.embeddings, tqdm)
        index.save(flags.to)
        how = "exact" if index.is_exact else "approximate, best candidates scored exactly"
        print(f"{flags.to} holds {len(index):,} {gallery} ({how}).")

    # --- What is found -------------------------------------------------------------------------
    if query is not None:
        print_found(*index.search(query, flags.top_k))
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
    options = {name: getattr(flags, name) for name in ("gallery", "kind", "anchors", "rescore")}
    return {name: value for name, value in options.items() if value is not None}


def model_fingerprint(run: TrainedRun) -> str:
    """A hash of the weights of the run's best epoch."""
    networks = run.method.networks
    return fingerprint(*(hash_weights(networks[name]) for name in sorted(networks)))


def new_index(flags: Flags, run: TrainedRun, data: DataConfig, scorer, gallery: str) -> Index:
    """An empty index; a relation score's anchors come from the run's training split."""
    images = texts = None
    if not isinstance(scorer, CosineScorer):
        train = prepare(data, run, ["train"]).features.train
        images, texts = train.images, train.texts
    options = {"gallery": gallery, "images": images, "texts": texts} | given_options(flags)
    return build_index(scorer, model_fingerprint(run), **options)


def embed_query(flags: Flags, run: TrainedRun, scorer, gallery: str) -> np.ndarray | None:
    """The embedding `[1, d]` of the query, or None where there is none."""
    wrong, right = ("text", "image") if gallery == "texts" else ("image", "text")
    if getattr(flags, wrong) is not None:
        raise InputError(f"--to {flags.to} is an index of {gallery}: search it by --{right}.")
    if flags.text is not None:
        encoder = run.load_encoder()
        if not known_texts(encoder, [flags.text]).all():
            raise InputError(f"--text {flags.text!r} holds no word that {flags.run} knows.")
        return scorer.embed_texts(run.row_encoder(encoder).encode([flags.text]))
    if flags.image is None:
        return None
    tower = run.load_tower(flags.image_weights)
    ((_, picture),) = load_images([flags.image], (tower.resize, tower.crop))
    if isinstance(picture, BadImage):
        raise InputError(
            f"--image {flags.image} cannot be read ({picture.reason}): give a picture."
        )
    return scorer.embed_images(run.image_rows(tower, picture[None]))


def print_found(ids: np.ndarray, scores: np.ndarray):
    """A table of what one query found."""
    table = Table("", "score", "id")
    for rank, (name, score) in enumerate(zip(ids[0], scores[0], strict=True), start=1):
        table.add_row(str(rank), f"{score:.4f}", escape(str(name)))
    Console().print(table)
