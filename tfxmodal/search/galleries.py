"""What is searched: the items of a folder of pictures, a file of texts, a manifest or a dataset."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfxmodal.data import listings, manifest
from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.encoders.text import TextEncoder
from tfxmodal.encoders.text.bag_of_words import BATCH, EncodedTexts, document, to_bytes
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import PLACE, DataConfig
from tfxmodal.inputs.prepare import prepare, split_features
from tfxmodal.inputs.raw import split_raw
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.training.run_folder import RunFolder, from_dict
from tfxmodal.training.trained_run import TrainedRun

SPLITS = manifest.SPLITS
SHOWN = 20
"""Texts that are named where they are left out."""
ALONE = {"images": "a folder of pictures", "texts": "a file of texts"}


@dataclass(frozen=True)
class Items:
    """Images or texts of a gallery.

    Attributes:
        ids: `[n]`, the user's names.
        features: What the run's encoder takes, `[n, dim]`.
        shown: `[n]`, the pictures' absolute paths or the texts; ids where these are not known.
        are_texts: Whether `shown` are texts, which the run's encoder has read.
    """

    ids: list[str]
    features: Features
    shown: list[str]
    are_texts: bool = False


@dataclass(frozen=True)
class Embedded:
    """Items as a scorer takes them: `ids` and `shown` `[n]`, and `embeddings` `[n, d]`."""

    ids: list[str]
    embeddings: np.ndarray
    shown: list[str]


def items_of(
    source: str, run: TrainedRun, config: DataConfig, kind: str | None = None
) -> dict[str, Items]:
    """The items that a user names, `images`, `texts` or both, as features of a run.

    Args:
        source: A split of the run's dataset (`test`, ...); a folder of pictures; a manifest of
            pairs; a file of texts; or the folder of another run, whose test split it is.
        run: The trained run.
        config: How its data are loaded.
        kind: `images` or `texts`, where the source must hold them.

    Raises:
        InputError: If the source is none of these, cannot be read or does not hold that kind.
    """
    path = Path(source)
    if source in SPLITS:
        return items_of_split(run, config, source)
    if (path / "config.json").is_file():
        other = from_dict(DataConfig, RunFolder(path).config["data"])
        place = {name: getattr(other, name) for name in ("dataset", *PLACE)}
        return items_of_split(run, replace(config, **place), "test")
    if path.suffix in manifest.SUFFIXES:
        pairs = manifest.load_pairs(path)
        return _both(*_as_features(run, replace(config, dataset="pairs"), "gallery", pairs))
    if kind not in (None, "images" if path.is_dir() else "texts"):
        raise InputError(
            f"{source} holds no {kind}: give {ALONE[kind]}, a manifest, a run's folder or one of "
            f"{', '.join(SPLITS)}."
        )
    if path.is_dir():
        return {"images": items_of_pictures(path, run, config)}
    return {"texts": items_of_texts(path, run)}


def embed(items: Items, kind: str, run: TrainedRun, scorer: Scorer) -> Embedded:
    """Embeds items.

    Texts without a word that the run knows would all get one score: they are left out, and printed.

    Raises:
        InputError: If no item is left.
    """
    embeddings = {"images": scorer.embed_images, "texts": scorer.embed_texts}[kind](items.features)
    if not items.are_texts:
        return Embedded(items.ids, embeddings, items.shown)
    known = known_texts(run.load_encoder(), items.shown)
    left_out = [items.ids[row] for row in np.flatnonzero(~known)]
    if len(left_out) == len(known):
        raise InputError(f"None of {len(known)} texts holds a word that {run.folder.path} knows.")
    if left_out:
        more = ", ..." if len(left_out) > SHOWN else ""
        print(
            f"{len(left_out)} of {len(known)} texts hold no word that the model knows and are left "
            f"out: {', '.join(left_out[:SHOWN])}{more}"
        )
    rows = np.flatnonzero(known)
    ids, shown = ([values[row] for row in rows] for values in (items.ids, items.shown))
    return Embedded(ids, embeddings[rows], shown)


def known_texts(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    """Which texts hold a word that an encoder knows, bool `[n]`."""
    parts = [encoder.knows(to_bytes(texts[i : i + BATCH])) for i in range(0, len(texts), BATCH)]
    return np.concatenate(parts)


def items_of_split(run: TrainedRun, config: DataConfig, split: str) -> dict[str, Items]:
    """Images and texts of a dataset's split."""
    prepared = prepare(config, run, [split])
    return _both(getattr(prepared.source, split), getattr(prepared.features, split))


def items_of_pictures(folder: Path, run: TrainedRun, config: DataConfig) -> Items:
    """The pictures in a folder and the folders in it, their paths from there as ids."""
    ids, paths = listings.pictures_in(folder)
    pairs = Pairs(np.array(ids), np.array(paths), [()] * len(paths))
    config = replace(config, dataset=folder.name)
    return _both(*_as_features(run, config, "gallery", pairs, texts=False))["images"]


def items_of_texts(path: Path, run: TrainedRun) -> Items:
    """The texts of a UTF-8 file, one a line: ID<TAB>TEXT, or TEXT, which then is its own id."""
    ids, texts = listings.texts_in(path)
    return Items(ids, EncodedTexts(run.row_encoder(run.load_encoder()), texts), texts, True)


def _as_features(
    run: TrainedRun, config: DataConfig, name: str, pairs: Pairs, texts: bool = True
) -> tuple[Pairs, Pairs]:
    """Pairs of files and captions, those that can be read, as they came and as features."""
    tower = run.load_tower(config.image_weights)
    if run.end_to_end:
        return split_raw(config, name, pairs, tower, run.row_encoder(run.load_encoder()))
    return split_features(config, name, pairs, tower, run.load_encoder() if texts else None)


def _both(source: Pairs, features: Pairs) -> dict[str, Items]:
    ids = source.ids.tolist()
    text_ids = ids if source.paired else [f"text-{row}" for row in range(len(source.texts))]
    paths = [os.path.abspath(path) for path in source.images] if source.has_image_files else ids
    texts = [document(each) for each in source.texts] if source.has_captions else text_ids
    return {
        "images": Items(ids, features.images, paths),
        "texts": Items(text_ids, features.texts, texts, source.has_captions),
    }
