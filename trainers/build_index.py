"""Makes an index of images or texts, to be searched by the other, with a trained run.

The gallery is a folder of pictures, a file of texts, or a split of a dataset or manifest. An index
opens with the run that made it, and can be added to. With a query the best items are printed.

Examples:
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --data my/photos
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --data more/photos --add
  python trainers/build_index.py --run runs/drsl-coco --to index/photos --query-text "two dogs"
  python trainers/build_index.py --run runs/drsl-coco --to index/texts --gallery texts --split train
  python trainers/build_index.py --run runs/drsl-coco --to index/texts --query-image photo.jpg
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from tfxmodal.data.images import BadImage, load_images
from tfxmodal.data.pairs import fingerprint
from tfxmodal.errors import InputError
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.retrieval.index import Index
from tfxmodal.retrieval.new_index import build_index
from tfxmodal.towers.image_tower import hash_weights
from tfxmodal.training.trained_run import TrainedRun, load_run
from trainers import cli
from trainers.evaluate import data_configs
from trainers.galleries import items_of_split, pictures_in, texts_in
from trainers.prepare import DataConfig, prepare


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/drsl-coco."""

    to: Path
    """Folder of the index: a new one or, with --add or a query, one that is there."""

    gallery: Literal["images", "texts"] = "images"
    """What a new index holds; the other is what it is searched by."""

    data: Path | None = None
    """A folder of pictures, with the folders in it (their paths are the ids), or a UTF-8 file of
    texts, one a line: ID<TAB>TEXT, or TEXT, which then is its own id. Without it, a dataset."""

    dataset: str | None = None
    """The dataset whose --split is the gallery, such as pairs; by default the run's own."""

    data_dir: Path | None = None
    """Folder of that dataset or manifest, by default data/DATASET; without --dataset, the place
    where the run's own dataset is now."""

    dataset_options: tuple[str, ...] = ()
    """Options of that dataset, as in `--dataset-options year=2017`."""

    download: bool = False
    """Fetch COCO from its official host into the folder (20.4 GB), or go on with it."""

    split: Literal["train", "validation", "test"] = "test"
    """The split of the dataset."""

    add: bool = False
    """Add to the index that is there."""

    kind: Literal["auto", "flat", "scan"] = "auto"
    """How vectors are searched: all of them exactly (flat), by their four-bit codes (scan), or by
    the gallery's size (auto: flat up to 100,000 items, then scan)."""

    anchors: int = 256
    """Training items whose relation scores are an item's vector (DRSL; more find more)."""

    rescore: float = 0.005
    """Share of the gallery that is scored exactly for each query (DRSL; 1 is an exact search)."""

    query_image: Path | None = None
    """A picture whose best texts are printed."""

    query_text: str | None = None
    """A text whose best images are printed."""

    k: int = 10
    """How many."""

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
    run = load_run(flags.run)
    own, measured = data_configs(run.config["data"], flags)
    scorer = run.method.scorer()
    queried = flags.query_image is not None or flags.query_text is not None

    # --- The index: a new one, or the one that is there ----------------------------------------
    there = (flags.to / "index.json").exists()
    if there and not (flags.add or queried):
        raise InputError(f"--to {flags.to} holds an index already: give --add or another folder.")
    if there:
        index = Index.load(flags.to, scorer, model_fingerprint(run))
    else:
        index = new_index(flags, run, own, scorer)

    # --- Its items ---------------------------------------------------------------------------
    if flags.add or not there:
        if flags.data is None:
            items = items_of_split(run, measured, flags.split)[index.gallery]
        elif index.gallery == "texts":
            items = texts_in(flags.data, run)
        else:
            items = pictures_in(flags.data, run, own)
        embed = scorer.embed_texts if index.gallery == "texts" else scorer.embed_images
        index.add(items.ids, embed(items.features), tqdm)
        index.save(flags.to)
        how = "exact" if index.is_exact else "approximate, best candidates scored exactly"
        print(f"{flags.to} holds {len(index):,} {index.gallery} ({how}).")

    # --- A query -----------------------------------------------------------------------------
    if queried:
        print_found(*index.search(embed_query(flags, run, scorer, index.gallery), flags.k))
    else:
        query = "--query-image FILE" if index.gallery == "texts" else "--query-text TEXT"
        print(f"Search it: trainers/build_index.py --run {flags.run} --to {flags.to} {query}")


def model_fingerprint(run: TrainedRun) -> str:
    """A hash of the weights of the run's best epoch."""
    networks = run.method.networks
    return fingerprint(*(hash_weights(networks[name]) for name in sorted(networks)))


def new_index(flags: Flags, run: TrainedRun, own: DataConfig, scorer) -> Index:
    """An empty index; a relation score's anchors come from the run's training split."""
    images = texts = None
    if not isinstance(scorer, CosineScorer):
        train = prepare(own, run, ["train"]).features.train
        images, texts = train.images, train.texts
    return build_index(
        scorer,
        model_fingerprint(run),
        flags.gallery,
        images,
        texts,
        flags.anchors,
        flags.kind,
        flags.rescore,
    )


def embed_query(flags: Flags, run: TrainedRun, scorer, gallery: str) -> np.ndarray:
    """The embedding `[1, d]` of the query."""
    if gallery == "images":
        if flags.query_text is None:
            raise InputError(f"{flags.to} holds images: search it by --query-text.")
        return scorer.embed_texts(run.row_encoder(run.load_encoder()).encode([flags.query_text]))
    if flags.query_image is None:
        raise InputError(f"{flags.to} holds texts: search it by --query-image.")
    tower = run.load_tower(flags.image_weights)
    ((_, picture),) = load_images([flags.query_image], (tower.resize, tower.crop))
    if isinstance(picture, BadImage):
        raise InputError(
            f"--query-image {flags.query_image} cannot be read ({picture.reason}): give a picture."
        )
    return scorer.embed_images(run.image_rows(tower, picture[None]))


def print_found(ids: np.ndarray, scores: np.ndarray):
    """A table of what one query found."""
    table = Table("", "score", "id")
    for rank, (name, score) in enumerate(zip(ids[0], scores[0], strict=True), start=1):
        table.add_row(str(rank), f"{score:.4f}", str(name))
    Console().print(table)


if __name__ == "__main__":
    cli.run(main)
